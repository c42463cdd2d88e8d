/** From three texts to a verdict, or to what is wrong with them and where. */
import load, { review, rules, type Review, type RuleFacts } from '../../target/npm/autoscaler_guard.js';
import packed from 'packed:module';
import { isObject, objectsOf, read, settingsOf, spanOf, at, type Problem, type Value } from './documents';
import type { Texts } from './examples';
import { unpacked } from './packing';

export type EditorName = keyof Texts;

/** A problem and the editor that it is in. */
export interface Trouble extends Problem {
  editor: EditorName;
}

export type Judgement = { review: Review; request: Request } | { troubles: Trouble[] };

/** As much of an AdmissionRequest as the page itself shows; the policy reads it for itself. */
export interface Request {
  headline: string;
  object: unknown;
  oldObject: unknown;
}

export async function loadPolicy(): Promise<RuleFacts[]> {
  await load({ module_or_path: await unpacked(packed) });
  return rules();
}

export function judge(texts: Texts): Judgement & { objects: number } {
  const request = read(texts.request);
  const cluster = read(texts.cluster);
  const settings = read(texts.settings);
  const objects = objectsOf(cluster.values);
  const within = (editor: EditorName) => (problem: Problem) => ({ ...problem, editor });
  const troubles = [
    ...[...request.problems, ...several(request.values, 'request')].map(within('request')),
    ...cluster.problems.map(within('cluster')),
    ...[...settings.problems, ...several(settings.values, 'file of settings')].map(within('settings')),
  ];
  const [asked, chosen] = [request.values[0], settings.values[0]];
  if (troubles.length > 0) return { troubles, objects: objects.length };
  if (!asked) return { troubles: [{ editor: 'request', from: 0, to: 0, problem: NO_REQUEST }], objects: objects.length };
  const given = chosen && settingsOf(chosen);
  return { ...judged(asked, objects, given), objects: objects.length };
}

const NO_REQUEST =
  'There is no request yet: paste an AdmissionReview or an AdmissionRequest, as YAML or JSON, or pick an example.';

/** Which of several documents counted would be a guess. */
function several([, second]: Value[], what: string): Problem[] {
  const span = second && spanOf(second.node, '');
  return span ? [{ ...firstLetter(span), problem: `A second ${what} begins here; leave one of the two out.` }] : [];
}

function judged(request: Value, objects: Value[], settings: Value | undefined): Judgement {
  const answer = review(request.json, `[${objects.map(({ json }) => json)}]`, settings?.json ?? 'null');
  if (answer.outcome === 'reviewed') return { review: answer, request: requestOf(request) };
  const place: Record<typeof answer.outcome, (path: string) => Omit<Trouble, 'problem'>> = {
    invalidSettings: (path) => ({ editor: 'settings', path, ...spanOf(settings?.node ?? null, path) }),
    unusableCluster: (path) => ({ editor: 'cluster', path, ...spanOfObject(objects, path) }),
    unreadableRequest: (path) => ({ editor: 'request', path, ...spanOf(request.node, inRequest(request.node, path)) }),
  };
  return { troubles: answer.problems.map(({ path, problem }) => ({ ...place[answer.outcome](path), problem })) };
}

/** An object is long, so its beginning stands for it. */
function spanOfObject(objects: Value[], path: string) {
  const index = /^cluster\[(\d+)\]/.exec(path)?.[1];
  return firstLetter(spanOf(objects[Number(index ?? 0)]?.node ?? null, ''));
}

function firstLetter({ from, to }: { from: number; to: number }) {
  return { from, to: Math.min(to, from + 1) };
}

/** An AdmissionRequest may stand for itself, without the `request` of a review. */
function inRequest(node: Value['node'], path: string): string {
  return at(node, 'request') ? path : path.replace(/^request\.?/, '');
}

function requestOf({ json }: Value): Request {
  const content: unknown = JSON.parse(json);
  const request = isObject(content) && isObject(content['request']) ? content['request'] : content;
  const text = (...path: string[]): string => {
    const found = path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), request);
    return typeof found === 'string' ? found : '';
  };
  const name = text('name') || text('object', 'metadata', 'name') || text('oldObject', 'metadata', 'name') || '(unnamed)';
  const words = [
    text('operation'),
    text('kind', 'kind'),
    [text('namespace'), name, text('subResource')].filter(Boolean).join('/'),
    text('userInfo', 'username') && `by ${text('userInfo', 'username')}`,
    text('options', 'fieldManager') && `via ${text('options', 'fieldManager')}`,
  ];
  const { object, oldObject } = isObject(request) ? request : {};
  return { headline: words.filter(Boolean).join(' '), object, oldObject };
}
