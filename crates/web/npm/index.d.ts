export { review, rules, validateSettings } from './autoscaler_guard.js';
export type {
  Answer,
  Lookup,
  Meaning,
  Picture,
  PictureArrow,
  PictureBox,
  Pictures,
  Problem,
  Review,
  RuleFacts,
  Watch,
} from './autoscaler_guard.js';
