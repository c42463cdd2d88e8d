// Node fetches no files, so the module is read.
import { readFileSync } from 'node:fs';
import { initSync, review, rules, validateSettings } from './autoscaler_guard.js';

initSync({ module: readFileSync(new URL('./autoscaler_guard_bg.wasm', import.meta.url)) });

export { review, rules, validateSettings };
