/** YAML and JSON texts: what they hold, as the JSON text that the policy reads, and where in the text a path leads. */
import { isMap, isScalar, isSeq, parseAllDocuments, type Document, type Node, type ParsedNode, type Tags } from 'yaml';

/** From one letter of a text to another. */
export interface Span {
  from: number;
  to: number;
}

/** Something that is wrong with a text. */
export interface Problem extends Span {
  problem: string;
  /** Where in the values, such as `handover.fieldManagers[1]`; none for a mistake in the YAML itself. */
  path?: string;
}

/** A value and where it stands. */
export interface Value {
  node: ParsedNode | null;
  /** As JSON text. */
  json: string;
}

/**
 * All documents of a text. They are read as kubectl reads them, by YAML 1.1, so that a bare `off` is false here, too; times are texts
 * in JSON.
 */
export function read(text: string): { values: Value[]; problems: Problem[] } {
  const json = asJson(text);
  const documents = parseAllDocuments(text, { version: '1.1', customTags: withoutTimes, intAsBigInt: true, prettyErrors: false });
  const parsed: Document.Parsed[] = Array.isArray(documents) ? documents : [];
  // JSON is read by its own rules, and its numbers come through as they are written.
  if (json !== undefined) return { values: [{ node: parsed[0]?.contents ?? null, json }], problems: [] };
  const problems = parsed.flatMap(({ errors }) =>
    errors.map(({ message, pos: [from, to] }) => ({ from, to: Math.max(to, from + 1), problem: `This is no YAML: ${message}` })),
  );
  if (problems.length > 0) return { values: [], problems };
  try {
    const values = parsed.map((document) => ({ node: document.contents, json: jsonOf(document.toJS()) }));
    return { values: values.filter(({ json }) => json !== 'null'), problems };
  } catch (error) {
    // Aliases without end.
    return { values: [], problems: [{ from: 0, to: 1, problem: String(error) }] };
  }
}

function asJson(text: string): string | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    JSON.parse(text);
    return text;
  } catch {
    return undefined;
  }
}

const withoutTimes = (tags: Tags): Tags =>
  tags.filter(
    (tag) => typeof tag === 'string' || !(tag.tag.endsWith(':timestamp') || ('format' in tag && tag.format === 'TIME')),
  );

function jsonOf(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${jsonOf(inner)}`)}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** The objects of values, of which some may be lists of them. */
export function objectsOf(values: Value[]): Value[] {
  return values.flatMap((value) => {
    const content: unknown = JSON.parse(value.json);
    const isList = isObject(content) && typeof content['kind'] === 'string' && content['kind'].endsWith('List');
    const items = isList ? at(value.node, 'items') : value.node;
    const inner: unknown = isList ? content['items'] : content;
    if (!isSeq<ParsedNode>(items) || !Array.isArray(inner)) return [value];
    // Numbers beyond those of JavaScript are kept only outside lists.
    return inner.map((item, index) => ({ node: items.items[index] ?? null, json: JSON.stringify(item) }));
  });
}

/** What a policy's manifest, or a file of settings, says in settings; as `autoscaler-guard settings check` has it. */
export function settingsOf(value: Value): Value {
  const content: unknown = JSON.parse(value.json);
  if (!isObject(content) || typeof content['kind'] !== 'string' || !content['kind'].endsWith('AdmissionPolicy')) return value;
  const spec = content['spec'];
  const settings = isObject(spec) ? spec['settings'] : undefined;
  return { node: at(at(value.node, 'spec'), 'settings'), json: JSON.stringify(settings ?? {}) };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function at(node: Node | null, key: string): ParsedNode | null {
  const pair = isMap<ParsedNode, ParsedNode | null>(node)
    ? node.items.find(({ key: found }) => isScalar(found) && found.value === key)
    : undefined;
  return pair?.value ?? null;
}

/** Where a path such as `handover.fieldManagers[1]` leads: to a key or an item, or as near to it as there is something. */
export function spanOf(node: ParsedNode | null, path: string): Span {
  let span = node ? { from: node.range[0], to: node.range[1] } : { from: 0, to: 0 };
  let rest = path;
  while (rest !== '' && node) {
    const step: Step | undefined = isSeq<ParsedNode>(node) ? item(node.items, rest) : key(node, rest);
    if (!step) break;
    ({ node, span, rest } = step);
  }
  return span;
}

interface Step {
  node: ParsedNode | null;
  span: Span;
  rest: string;
}

function item(items: ParsedNode[], path: string): Step | undefined {
  const index = /^\[(\d+)\]/.exec(path);
  const node = items[Number(index?.[1])];
  return node && { node, span: { from: node.range[0], to: node.range[1] }, rest: path.slice(index?.[0].length) };
}

/** Keys may have dots themselves: the longest that fits is meant. */
function key(node: ParsedNode, path: string): Step | undefined {
  if (!isMap<ParsedNode, ParsedNode | null>(node)) return undefined;
  const rest = path.replace(/^\./, '');
  const fits = node.items.filter(({ key: found }) => {
    const name = isScalar(found) ? String(found.value) : '';
    return name !== '' && rest.startsWith(name) && ['', '.', '['].includes(rest.charAt(name.length));
  });
  const longest = fits.sort((one, other) => String(other.key).length - String(one.key).length)[0];
  if (!longest) return undefined;
  const [from, to] = longest.key.range;
  return { node: longest.value, span: { from, to }, rest: rest.slice(String(longest.key).length) };
}
