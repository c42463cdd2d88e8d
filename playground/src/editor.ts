/** An editor for YAML. */
import { autocompletion, completionKeymap, type CompletionSource } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import {
  bracketMatching,
  foldEffect,
  foldGutter,
  foldKeymap,
  HighlightStyle,
  indentOnInput,
  indentService,
  syntaxHighlighting,
} from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { Annotation, EditorState, type Extension } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  placeholder,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Problem, Span } from './documents';

const colours = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: 'var(--key)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--string)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--constant)' },
  { tag: [tags.comment, tags.meta, tags.separator, tags.punctuation, tags.squareBracket, tags.brace], color: 'var(--faint)' },
]);

/** What stands below a key is its value; the language itself knows that only once there is one. */
const belowKeys = indentService.of((context, position) => {
  const { text } = context.lineAt(position, -1);
  const start = /^((?:\s*-\s+)*\s*)[^\s#].*:\s*$/.exec(text)?.[1];
  return start === undefined ? undefined : start.length + 2;
});

/** The page replaced the text, nobody typed it. */
const replaced = Annotation.define<boolean>();

interface Options {
  parent: HTMLElement;
  label: string;
  hint: string;
  complete?: CompletionSource;
  extensions?: Extension;
  /** The text has changed; `typed` by a person or not. */
  changed: (typed: boolean) => void;
}

export class Editor {
  private readonly view: EditorView;

  constructor({ parent, label, hint, complete, extensions = [], changed }: Options) {
    const nonce = document.querySelector('style')?.nonce ?? '';
    this.view = new EditorView({
      parent,
      extensions: [
        lineNumbers(),
        foldGutter(),
        highlightActiveLineGutter(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        history(),
        drawSelection(),
        indentOnInput(),
        belowKeys,
        bracketMatching(),
        search({ top: true }),
        lintGutter(),
        yaml(),
        syntaxHighlighting(colours),
        // Tab is left to the page: who has no mouse must get out of the editor again.
        keymap.of([...completionKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap]),
        autocompletion({ override: complete ? [complete] : [], icons: false }),
        placeholder(hint),
        EditorState.tabSize.of(2),
        EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0', spellcheck: 'false', autocapitalize: 'off' }),
        EditorView.cspNonce.of(nonce),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(!update.transactions.some((transaction) => transaction.annotation(replaced)));
        }),
        extensions,
      ],
    });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  /** Puts another text in place; undoing brings the old one back. */
  replace(text: string) {
    const changes = { from: 0, to: this.view.state.doc.length, insert: text };
    this.view.dispatch({ changes, selection: { anchor: 0 }, scrollIntoView: true, annotations: replaced.of(true) });
    this.view.dispatch({ effects: bookkeeping(this.view.state).map((span) => foldEffect.of(span)) });
  }

  append(text: string) {
    const { doc } = this.view.state;
    const before = doc.length === 0 || /(^|\n)(---)?\n?$/.test(doc.sliceString(doc.length - 5)) ? '' : '\n';
    const insert = before + text;
    this.view.dispatch({
      changes: { from: doc.length, insert },
      selection: { anchor: doc.length + insert.length },
      scrollIntoView: true,
    });
    this.view.focus();
  }

  mark(problems: Problem[]) {
    const { length } = this.view.state.doc;
    const diagnostics = problems.map(({ from, to, problem, path }) => ({
      from: Math.min(from, length),
      to: Math.min(to, length),
      severity: 'error' as const,
      message: path ? `${path}: ${problem}` : problem,
    }));
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
  }

  /** Shows a place and goes there. */
  select({ from, to }: Span) {
    const { length } = this.view.state.doc;
    const selection = { anchor: Math.min(from, length), head: Math.min(to, length) };
    this.view.dispatch({ selection, effects: EditorView.scrollIntoView(selection.anchor, { y: 'center' }) });
    this.view.focus();
  }

  /** The line of a place, from 1. */
  line(position: number): number {
    return this.view.state.doc.lineAt(Math.min(position, this.view.state.doc.length)).number;
  }

  /** Once an editor is shown that was hidden. */
  measure() {
    this.view.requestMeasure();
  }
}

/** The managedFields, which are long and seldom read. */
function bookkeeping({ doc }: EditorState): Span[] {
  const spans: Span[] = [];
  for (let number = 1; number <= doc.lines; number += 1) {
    const head = doc.line(number);
    const indent = /^(\s*)managedFields:\s*$/.exec(head.text)?.[1]?.length;
    if (indent === undefined) continue;
    const isInside = (text: string) =>
      text.trim() === '' || /^\s*/.exec(text)![0].length > indent || text.startsWith(' '.repeat(indent) + '- ');
    while (number < doc.lines && isInside(doc.line(number + 1).text)) number += 1;
    if (doc.line(number).to > head.to) spans.push({ from: head.to, to: doc.line(number).to });
  }
  return spans;
}
