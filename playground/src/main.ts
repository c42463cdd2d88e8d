/** The page: three editors, the verdict beside them, examples to pick, and links that carry all of it. */
import { complete, schemaHover } from './completion';
import { element, h } from './dom';
import { Editor } from './editor';
import { loadExamples, type Example, type Texts } from './examples';
import { judge, loadPolicy, type EditorName, type Trouble } from './judge';
import { fragmentOf, LinkError, textsOf } from './link';
import { kept, keep, remember, remembered } from './memory';
import { inBrief, show, type Actions } from './verdict';
import type { RuleFacts } from '../../target/npm/autoscaler_guard.js';

const NAMES: EditorName[] = ['request', 'cluster', 'settings'];
const TITLES: Record<EditorName, string> = { request: 'Request', cluster: 'Cluster', settings: 'Settings' };

/** How long somebody has to stop typing to be judged, in milliseconds. */
const PAUSE = 150;

const picker = element('example', HTMLSelectElement);
const notice = element('notice', HTMLElement);
const story = element('story', HTMLElement);
const panel = element('verdict', HTMLElement);
const glance = element('glance', HTMLAnchorElement);
const said = element('said', HTMLElement);
const dark = element('dark', HTMLButtonElement);
/** One of something for each editor. */
function each<Thing>(make: (name: EditorName) => Thing): Record<EditorName, Thing> {
  return { request: make('request'), cluster: make('cluster'), settings: make('settings') };
}

const tabs = each((name) => element(`tab-${name}`, HTMLButtonElement));
const panels = each((name) => element(`panel-${name}`, HTMLElement));

const HINTS: Record<EditorName, string> = {
  request: 'An AdmissionReview or AdmissionRequest, as YAML or JSON.',
  cluster: 'The objects around it, one document each, as kubectl get -o yaml shows them. What is not here is not there.',
  settings: 'The policy’s settings, if they are not the defaults. Ctrl-Space offers what there is.',
};

const editors = each(
  (name) =>
    new Editor({
      parent: panels[name],
      label: TITLES[name],
      hint: HINTS[name],
      ...(name === 'settings' ? { complete, extensions: schemaHover } : {}),
      changed,
    }),
);

let examples: Example[] = [];
let rules: RuleFacts[] = [];
let waiting: ReturnType<typeof setTimeout> | undefined;

const actions: Actions = {
  jump: ({ editor, ...span }: Trouble) => {
    select(editor);
    editors[editor].select(span);
  },
  line: ({ editor, from }) => editors[editor].line(from),
  copy: (text) => void copy(text, 'Copied.', 'The browser does not let this page copy; select the command instead.'),
  add: (document) => {
    select('cluster');
    editors.cluster.append(document);
  },
};

function changed(typed: boolean) {
  if (typed) {
    picker.value = '';
    clearTimeout(waiting);
    waiting = setTimeout(update, PAUSE);
  }
}

function texts(): Texts {
  return each((name) => editors[name].text);
}

function update() {
  clearTimeout(waiting);
  const judgement = judge(texts());
  const troubles = 'troubles' in judgement ? judgement.troubles : [];
  for (const name of NAMES) {
    const own = troubles.filter(({ editor }) => editor === name);
    editors[name].mark(own);
    const count = name === 'cluster' && judgement.objects > 0 ? h('span', { class: 'count' }, ` ${judgement.objects}`) : null;
    const badge =
      own.length > 0 ? h('span', { class: 'badge' }, own.length === 1 ? '1 problem' : `${own.length} problems`) : null;
    tabs[name].replaceChildren(TITLES[name], ...[count, badge].filter((part) => part !== null));
  }
  show(panel, judgement, rules, actions);
  const { kind, text } = inBrief(judgement);
  glance.className = `glance ${kind}`;
  glance.textContent = text;
  // A screen reader hears it again only when it has changed.
  const problems = troubles.map(({ problem }) => problem).join('. ');
  const spoken = 'review' in judgement ? (judgement.review.message ?? judgement.review.warnings.join('. ')) : problems;
  const whole = `${text}. ${spoken}`;
  if (said.textContent !== whole) said.textContent = whole;
}

/** Puts other texts in place; undoing brings back what was there. */
function put(given: Texts) {
  for (const name of NAMES) editors[name].replace(given[name]);
  update();
  panel.scrollTop = 0;
}

function pick(id: string) {
  const example = examples.find((one) => one.id === id);
  if (!example) return;
  picker.value = id;
  put(example);
  story.textContent = example.story || (rules.find((rule) => rule.id === example.rule)?.title ?? '');
  notify('');
}

function step(by: number) {
  const index = examples.findIndex(({ id }) => id === picker.value);
  const next = examples[(index + by + examples.length) % examples.length] ?? examples[0];
  if (next) pick(next.id);
}

let fading: ReturnType<typeof setTimeout> | undefined;

/** What went well is shown for a while, what did not until something else is done. */
function notify(text: string, kind: 'error' | 'done' = 'done') {
  clearTimeout(fading);
  notice.className = kind;
  notice.textContent = text;
  if (text && kind === 'done') fading = setTimeout(() => notify(''), 10_000);
}

async function copy(text: string, done: string, otherwise: string) {
  try {
    await navigator.clipboard.writeText(text);
    notify(done);
  } catch {
    notify(otherwise);
  }
}

async function share() {
  try {
    const fragment = await fragmentOf(texts());
    history.replaceState(null, '', fragment);
    const size = `${(location.href.length / 1000).toFixed(1)} kB`;
    await copy(
      location.href,
      `The link is copied (${size}). It holds the request, the cluster and the settings.`,
      `The link is in the address bar (${size}); the browser does not let this page copy it.`,
    );
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    notify(error.message, 'error');
  }
}

/** What the address holds; nothing is touched if it is nothing or broken. */
async function open(): Promise<boolean> {
  try {
    const given = await textsOf(location.hash);
    if (!given) return false;
    picker.value = '';
    story.textContent = '';
    put(given);
    notify('');
    return true;
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    notify(error.message, 'error');
    return false;
  }
}

function select(name: EditorName) {
  for (const other of NAMES) {
    const isChosen = other === name;
    tabs[other].setAttribute('aria-selected', String(isChosen));
    tabs[other].tabIndex = isChosen ? 0 : -1;
    panels[other].hidden = !isChosen;
  }
  editors[name].measure();
}

/** The address is left to the state. */
function listenToJumps() {
  for (const link of document.querySelectorAll('a[href="#verdict"]')) {
    link.addEventListener('click', (event) => {
      event.preventDefault();
      panel.focus();
      panel.scrollIntoView();
    });
  }
}

function listenToTabs() {
  NAMES.forEach((name, index) => {
    tabs[name].addEventListener('click', () => select(name));
    tabs[name].addEventListener('keydown', ({ key }) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index + NAMES.length - 1, Home: 0, End: NAMES.length - 1 }[key];
      const next = to === undefined ? undefined : NAMES[to % NAMES.length];
      if (!next) return;
      select(next);
      tabs[next].focus();
    });
  });
}

/** The system's colours, unless somebody chose others before. */
function listenToColours() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const stored = remembered('colours');
    const isDark = stored ? stored === 'dark' : system.matches;
    document.documentElement.dataset['colours'] = isDark ? 'dark' : 'light';
    dark.setAttribute('aria-pressed', String(isDark));
  };
  dark.addEventListener('click', () => {
    remember('colours', dark.getAttribute('aria-pressed') === 'true' ? 'light' : 'dark');
    apply();
  });
  system.addEventListener('change', apply);
  apply();
}

function offer() {
  picker.append(h('option', { value: '' }, 'Your own'));
  for (const group of new Set(examples.map((example) => example.group))) {
    const within = examples.filter((example) => example.group === group);
    picker.append(h('optgroup', { label: group }, ...within.map(({ id, title }) => h('option', { value: id }, title))));
  }
  picker.addEventListener('change', () => pick(picker.value));
  element('previous', HTMLButtonElement).addEventListener('click', () => step(-1));
  element('next', HTMLButtonElement).addEventListener('click', () => step(1));
}

async function start() {
  listenToColours();
  listenToTabs();
  listenToJumps();
  [rules, examples] = await Promise.all([loadPolicy(), loadExamples()]);
  offer();
  element('copy', HTMLButtonElement).addEventListener('click', () => void share());
  addEventListener('hashchange', () => void open());
  addEventListener('pagehide', () => keep(texts()));
  const [first, before] = [examples[0], kept()];
  if (before) put(before);
  else if (!(await open()) && first) {
    const message = notice.textContent ?? '';
    pick(first.id);
    if (message) notify(message, 'error');
  }
}

start().catch((error: unknown) => notify(`This page does not work in this browser: ${String(error)}`, 'error'));
