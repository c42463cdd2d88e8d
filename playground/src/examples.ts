import type { Review } from '../../target/npm/autoscaler_guard.js';
import packed from 'packed:examples';
import { unpacked } from './packing';

export type Verdict = Review['verdict'];

/** The three texts that the page is about. */
export interface Texts {
  request: string;
  cluster: string;
  settings: string;
}

/** Texts to pick; `examples.js` makes them. */
export interface Example extends Texts {
  id: string;
  group: string;
  title: string;
  /** What would happen, in a sentence or two; may be empty. */
  story: string;
  /** What the policy says. */
  verdict: Verdict;
  /** The rule that says it. */
  rule?: string;
}

export async function loadExamples(): Promise<Example[]> {
  return JSON.parse(new TextDecoder().decode(await unpacked(packed))) as Example[];
}
