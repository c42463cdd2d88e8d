// Browsers fetch the module from beside this file; bundlers find it by the address that the import below is given.
import load, { review, rules, validateSettings } from './autoscaler_guard.js';

await load();

export { review, rules, validateSettings };
