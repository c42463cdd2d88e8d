/**
 * Completion and help from the settings' schema. Of our own: codemirror-json-schema brings a highlighter, a Markdown reader and a
 * validator along, several times the size of this page, and the policy itself says what is wrong.
 */
import { startCompletion, type Completion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import type { Text } from '@codemirror/state';
import { hoverTooltip, type EditorView, type Tooltip } from '@codemirror/view';
import { stringify } from 'yaml';
import schema from '../../docs/settings.schema.json';
import { h } from './dom';

/** As much of JSON Schema as the settings' has. */
interface Schema {
  description?: string;
  default?: unknown;
  type?: string | string[];
  enum?: unknown[];
  properties?: Record<string, Schema>;
  items?: Schema;
}

/** A key or the item of a list, and the column where it begins. */
interface Token {
  column: number;
  key?: string;
}

export function complete(context: CompletionContext): CompletionResult | null {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const value = /^((?:\s*-\s+)*\s*)([\w.-]+):\s+("?[\w.-]*)$/.exec(before);
  if (value) {
    const [, indent = '', key = '', typed = ''] = value;
    const inner = below(at(context.state.doc, line.number, indent.length), key);
    return offered(context, typed.length, inner ? values(inner) : []);
  }
  const start = /^((?:\s*-\s+)*\s*)([\w.-]*)$/.exec(before);
  if (!start) return null;
  const [, indent = '', typed = ''] = start;
  const here = at(context.state.doc, line.number, indent.length);
  if (!here) return null;
  // An item of a list of words: those that it has by default.
  if (here.type === 'string') return offered(context, typed.length, values(here));
  return offered(context, typed.length, keys(here, siblings(context.state.doc, line.number, indent.length), indent.length));
}

function offered(context: CompletionContext, typed: number, options: Completion[]): CompletionResult | null {
  if (options.length === 0 || (typed === 0 && !context.explicit && !context.state.doc.length)) return null;
  return { from: context.pos - typed, options, validFor: /^"?[\w.-]*$/ };
}

function keys(here: Schema, taken: Set<string>, column: number): Completion[] {
  const free = Object.entries(here.properties ?? {}).filter(([key]) => !taken.has(key));
  return free.map(([key, inner]) => ({
    label: key,
    type: 'property',
    detail: typeof inner.default === 'object' ? '' : text(inner.default),
    info: () => help(inner),
    apply: (view, _completion, from, to) => insert(view, from, to, key + after(inner, column)),
  }));
}

/** Whether what follows stands on the same line. */
function after(inner: Schema, column: number): string {
  const types = [inner.type ?? []].flat();
  const indent = '\n' + ' '.repeat(column + 2);
  if (types.includes('object') || inner.properties) return `:${indent}`;
  return types.includes('array') ? `:${indent}- ` : ': ';
}

function insert(view: EditorView, from: number, to: number, insert: string) {
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, userEvent: 'input.complete' });
  startCompletion(view);
}

function values(inner: Schema): Completion[] {
  const boolean = [inner.type].flat().includes('boolean') ? [true, false] : [];
  const standard = inner.default === undefined || typeof inner.default === 'object' ? [] : [inner.default];
  const all = [...boolean, ...(inner.enum ?? []), ...standard].filter((value) => value !== null);
  return [...new Set(all.map(text))].map((label) => ({
    label,
    type: 'constant',
    detail: label === text(inner.default) ? 'default' : '',
    info: () => help(inner),
  }));
}

/** As YAML, in which a bare off would be false. */
function text(value: unknown): string {
  return value === undefined ? '' : stringify(value, { version: '1.1', lineWidth: 0 }).trim();
}

function help({ description = '', default: standard }: Schema): HTMLElement {
  const isLong = typeof standard === 'object';
  return h(
    'div',
    { class: 'help' },
    h('p', {}, description),
    standard === undefined ? null : h('p', {}, 'Default: ', h('code', { class: isLong ? 'block' : '' }, text(standard))),
  );
}

/** What the schema says about the key under the pointer. */
export const schemaHover = hoverTooltip((view, position): Tooltip | null => {
  const line = view.state.doc.lineAt(position);
  const key = tokens(line.text).find((token) => token.key !== undefined);
  if (!key?.key || position < line.from + key.column || position > line.from + key.column + key.key.length) return null;
  const inner = below(at(view.state.doc, line.number, key.column), key.key);
  return inner?.description
    ? { pos: line.from + key.column, end: line.from + key.column + key.key.length, create: () => ({ dom: help(inner) }) }
    : null;
});

function below(here: Schema | undefined, key: string): Schema | undefined {
  return here?.properties?.[key];
}

/** The schema of what stands in a line at a column. What is being typed need not be YAML yet, so the indentation decides. */
function at(document: Text, line: number, column: number): Schema | undefined {
  let path: Token[] = [];
  let limit = column;
  for (let number = line; number > 0 && limit > 0; number -= 1) {
    const found = tokens(document.line(number).text);
    for (const token of found.reverse()) {
      if (number === line && token.column >= column) continue;
      // Lists may stand in the column of the key that they belong to.
      const isParent =
        token.column < limit ||
        (token.column === limit && token.key !== undefined && path[0]?.key === undefined && path.length > 0);
      if (!isParent) continue;
      path = [token, ...path];
      limit = token.column;
    }
  }
  const isPolicy = path[0]?.key === 'spec' && path[1]?.key === 'settings';
  return (isPolicy ? path.slice(2) : path).reduce<Schema | undefined>(
    (here, { key }) => (key === undefined ? here?.items : below(here, key)),
    schema as Schema,
  );
}

/** Keys that stand beside a line, in the same map. */
function siblings(document: Text, line: number, column: number): Set<string> {
  const found = new Set<string>();
  for (const step of [-1, 1]) {
    for (let number = line + step; number > 0 && number <= document.lines; number += step) {
      const all = tokens(document.line(number).text);
      const key = all.find((token) => token.column === column && token.key !== undefined);
      if (key?.key !== undefined) found.add(key.key);
      const isItem = all.some((token) => token.key === undefined && token.column < column);
      // An item's first key ends the map upwards, a new item downwards.
      if (all.some((token) => token.column < column) && (step === 1 || !isItem || !key)) break;
      if (isItem) break;
    }
  }
  return found;
}

function tokens(line: string): Token[] {
  const parts = /^(\s*)((?:-\s+)*)(?:"?([\w.-]+)"?:(?=\s|$))?/.exec(line);
  const [, indent = '', dashes = '', key] = parts ?? [];
  const items = [...dashes.matchAll(/-/g)].map(({ index }) => ({ column: indent.length + index }));
  return key === undefined ? items : [...items, { column: indent.length + dashes.length, key }];
}
