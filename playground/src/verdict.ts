/** The verdict, as a panel beside the editors. */
import type { AdviceFacts, FindingFacts, Review, RuleFacts } from '../../target/npm/autoscaler_guard.js';
import { difference } from './difference';
import { h } from './dom';
import type { Judgement, Request, Trouble } from './judge';
import { pictures } from './picture';

type Verdict = Review['verdict'];

const WORDS: Record<Verdict, { sign: string; name: string; meaning: string }> = {
  rejected: { sign: '✕', name: 'Rejected', meaning: 'The API server refuses the request.' },
  repaired: { sign: '~', name: 'Repaired', meaning: 'The request passes, changed by the policy.' },
  warned: { sign: '!', name: 'Warned', meaning: 'The request passes as it is, with a warning.' },
  allowed: { sign: '✓', name: 'Allowed', meaning: 'The request passes as it is.' },
};

export interface Actions {
  /** Shows where something is wrong. */
  jump: (trouble: Trouble) => void;
  /** The line of a problem, from 1. */
  line: (trouble: Trouble) => number;
  copy: (text: string) => void;
  /** Adds a document to the cluster. */
  add: (document: string) => void;
}

/** What the panel remembers from one verdict to the next: which parts are open. */
const open = new Map<string, boolean>();
const chosen = { repaired: true };

/** The verdict in a few words, to be said and shown at a glance. */
export function inBrief(judgement: Judgement): { kind: Verdict | 'unjudged'; text: string } {
  if ('troubles' in judgement) {
    const count = judgement.troubles.length;
    return { kind: 'unjudged', text: `Not judged: ${count === 1 ? '1 problem' : `${count} problems`} in the input` };
  }
  const { verdict, rules } = judgement.review;
  return { kind: verdict, text: [WORDS[verdict].name, rules.join(', ')].filter(Boolean).join(': ') };
}

export function show(panel: HTMLElement, judgement: Judgement, rules: RuleFacts[], actions: Actions) {
  panel.replaceChildren(...('troubles' in judgement ? unjudged(judgement.troubles, actions) : judged(judgement, rules, actions)));
}

function banner(kind: string, sign: string, name: string, meaning: string): HTMLElement {
  return h(
    'div',
    { class: `banner ${kind}` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, sign),
    h('h2', {}, name),
    h('p', {}, meaning),
  );
}

function unjudged(troubles: Trouble[], actions: Actions): HTMLElement[] {
  const items = troubles.map((trouble) => {
    const { editor, path, problem } = trouble;
    const place = `${editor}, line ${actions.line(trouble)}`;
    const jump = h('button', { type: 'button', class: 'jump', click: () => actions.jump(trouble) }, place);
    return h('li', {}, jump, path ? h('code', {}, path) : null, h('span', {}, problem));
  });
  return [
    banner('unjudged', '?', 'Not judged', 'The policy cannot make a verdict of this input.'),
    h('ul', { class: 'troubles' }, ...items),
  ];
}

function judged({ review, request }: { review: Review; request: Request }, rules: RuleFacts[], actions: Actions): HTMLElement[] {
  const { sign, name, meaning } = WORDS[review.verdict];
  const code = review.code === undefined ? '' : ` (HTTP ${review.code})`;
  const picture = pictures(review.pictures, !request.object, chosen);
  const patch = review.object ? difference(request.object, review.object) : null;
  // What is created or deleted whole stands in the request.
  const asked = request.oldObject && request.object ? difference(request.oldObject, request.object) : null;
  const parts = [
    banner(review.verdict, sign, name, meaning.replace('.', `${code}.`)),
    h('p', { class: 'headline' }, request.headline),
    review.rules.length > 0 ? ruleList(review.rules, rules) : null,
    review.verdict === 'rejected' ? refusal(review, actions) : null,
    warningList(review, actions),
    picture && part('picture', 'Who owns and scales whom', true, picture),
    patch && part('patch', 'The patch: what the policy changes', true, patch),
    asked && part('asked', 'What the request asks for', !patch && !picture, asked),
    part('lookups', `What was looked up (${review.lookups.length})`, true, lookups(review, actions)),
    Object.keys(review.auditAnnotations).length > 0 ? part('audit', 'For the audit log', false, audit(review)) : null,
  ];
  return parts.filter((one): one is HTMLElement => one !== null);
}

function part(id: string, title: string, isOpen: boolean, content: HTMLElement): HTMLElement {
  const click = ({ currentTarget }: Event) => {
    const details = (currentTarget as HTMLElement).parentElement as HTMLDetailsElement;
    // It opens or closes after the click.
    open.set(id, !details.open);
  };
  const summary = h('summary', { click }, h('h3', {}, title));
  return h('details', { class: 'part', 'data-part': id, open: open.get(id) ?? isOpen }, summary, content);
}

function ruleList(ids: string[], rules: RuleFacts[]): HTMLElement {
  const item = (id: string) => {
    const title = rules.find((rule) => rule.id === id)?.title;
    return h('li', {}, ruleLink(id), title ? ` ${title}` : null);
  };
  return h('ul', { class: 'rules', 'aria-label': 'Rules that spoke' }, ...ids.map(item));
}

function ruleLink(id: string): HTMLElement {
  return h('a', { href: `${DOCS}/rules/${id}.md`, target: '_blank', rel: 'noreferrer' }, id);
}

/** A way forward: a command to copy, or words. */
function way({ purpose, kind, text }: AdviceFacts, actions: Actions): HTMLElement {
  if (kind !== 'command') return h('p', {}, `${purpose}: ${text}`);
  const copy = h('button', { type: 'button', 'aria-label': `Copy: ${text}`, click: () => actions.copy(text) }, 'Copy');
  return h('div', { class: 'way' }, h('p', {}, purpose), h('div', { class: 'command' }, h('code', {}, text), copy));
}

/** Why the request was refused, and what helps. */
function refusal({ findings, problem, hints }: Review, actions: Actions): HTMLElement {
  const parts = findings
    .filter(isRefusal)
    .flatMap(({ what, notes, byHand, advice, acknowledge }) => [
      h('p', { class: 'finding' }, what),
      ...notes.map((note) => h('p', {}, note)),
      ...[...byHand, ...advice, ...(acknowledge ? [acknowledge] : [])].map((one) => way(one, actions)),
    ]);
  const words = (text: string) => text.split('\n').map((one) => h('p', {}, one));
  return h('div', { class: 'message' }, ...(problem === undefined ? [] : words(problem)), ...parts, ...hints.flatMap(words));
}

function isRefusal({ action }: FindingFacts): boolean {
  return action === 'reject';
}

/** What the client is warned of beside a refusal. */
function warningList({ findings }: Review, actions: Actions): HTMLElement | null {
  const items = findings
    .filter((finding) => !isRefusal(finding))
    .flatMap(({ what, notes, byHand }) => [
      h('p', { class: 'finding' }, what),
      ...notes.map((note) => h('p', {}, note)),
      ...byHand.map((one) => way(one, actions)),
    ]);
  if (items.length === 0) return null;
  const list = h('ul', {}, ...items.map((item) => h('li', {}, item)));
  return h('div', { class: 'warnings' }, h('h3', {}, 'The client is warned'), list);
}

const GET = /^get (?<apiVersion>\S+) (?<kind>\S+) (?:(?<namespace>[^\s/]+)\/)?(?<name>[^\s/]+)$/;

function lookups({ lookups }: Review, actions: Actions): HTMLElement {
  if (lookups.length === 0) return h('p', {}, 'Nothing: the request alone was enough.');
  const rows = lookups.map(({ lookup, outcome, failed }) => {
    const missing = outcome === 'absent' ? GET.exec(lookup)?.groups : undefined;
    return h(
      'tr',
      { class: failed ? 'failed' : outcome === 'absent' ? 'absent' : '' },
      h('td', {}, h('code', {}, lookup)),
      outcomeOf(outcome, failed, missing, actions),
    );
  });
  const head = h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Question'), h('th', { scope: 'col' }, 'Answer')));
  const isAbsent = lookups.some(({ outcome, failed }) => outcome === 'absent' && !failed);
  const hint =
    'What is absent here but there in your cluster changes the verdict: add it whole, as kubectl get -o yaml shows it.';
  return h('div', {}, h('table', {}, head, h('tbody', {}, ...rows)), isAbsent ? h('p', { class: 'hint' }, hint) : null);
}

function outcomeOf(outcome: string, failed: boolean, missing: Record<string, string | undefined> | undefined, actions: Actions) {
  const add =
    missing &&
    h(
      'button',
      {
        type: 'button',
        'aria-label': `Add ${missing['kind']} ${missing['name']} to the cluster`,
        click: () => actions.add(skeleton(missing)),
      },
      'Add',
    );
  return h('td', {}, failed ? h('strong', {}, 'failed: ') : null, outcome, add);
}

function skeleton({ apiVersion, kind, namespace, name }: Record<string, string | undefined>): string {
  const within = namespace ? `  namespace: ${namespace}\n` : '';
  return `---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata:\n${within}  name: ${name}\n`;
}

function audit({ auditAnnotations }: Review): HTMLElement {
  const entries = Object.entries(auditAnnotations).flatMap(([key, value]) => [h('dt', {}, key), h('dd', {}, value)]);
  return h('dl', {}, ...entries);
}
