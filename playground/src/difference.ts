/** What changes between two versions of an object: YAML lines, below the lines that say where they belong. */
import { diffArrays } from 'diff';
import { stringify } from 'yaml';
import { isObject } from './documents';
import { h } from './dom';

/** How many unchanged lines to show around changed ones. */
const CONTEXT = 2;

interface Line {
  change: ' ' | '+' | '-';
  text: string;
}

/** The changed lines; none if nothing changed. `managedFields` are left out, as the API server writes them anew. */
export function difference(old: unknown, now: unknown): HTMLElement | null {
  const lines = diffArrays(yamlLines(old), yamlLines(now)).flatMap(({ added, removed, value }) =>
    value.map((text): Line => ({ change: added ? '+' : removed ? '-' : ' ', text })),
  );
  if (lines.every(({ change }) => change === ' ')) return null;
  const shown = shownOf(lines);
  const rows: HTMLElement[] = [];
  lines.forEach((line, index) => {
    if (shown[index]) rows.push(row(line));
    else if (shown[index - 1]) rows.push(h('span', { class: 'row skipped' }, '  ⋯\n'));
  });
  return h('pre', { class: 'difference', tabindex: '0', role: 'group', 'aria-label': 'Difference' }, ...rows);
}

function row({ change, text }: Line): HTMLElement {
  const line = `${change} ${text}\n`;
  if (change === '+') return h('ins', { class: 'row' }, line);
  if (change === '-') return h('del', { class: 'row' }, line);
  return h('span', { class: 'row' }, line);
}

function yamlLines(object: unknown): string[] {
  if (!isObject(object)) return [];
  const { metadata } = object;
  const { managedFields: _, ...rest } = isObject(metadata) ? metadata : {};
  const shown = isObject(metadata) ? { ...object, metadata: rest } : object;
  return stringify(shown, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false }).trimEnd().split('\n');
}

function shownOf(lines: Line[]): boolean[] {
  const shown = lines.map(() => false);
  lines.forEach(({ change, text }, index) => {
    if (change === ' ') return;
    shown.fill(true, Math.max(index - CONTEXT, 0), index + CONTEXT + 1);
    let depth = indentOf(text);
    for (let above = index - 1; above >= 0 && depth > 0; above -= 1) {
      const line = lines[above]!;
      if (indentOf(line.text) < depth && (line.change === ' ' || line.change === change)) {
        shown[above] = true;
        depth = indentOf(line.text);
      }
    }
  });
  return shown;
}

function indentOf(text: string): number {
  return text.length - text.trimStart().length;
}
