export { review, rules, validateSettings } from './autoscaler_guard.js';
export type { Answer, LookUp, Outcome, Problem, Review, RuleFacts, Watch } from './autoscaler_guard.js';
