/** Who owns and scales whom, before the change and after it: boxes and arrows, laid out once so that each stays where it is. */
import { Graph, layout } from '@dagrejs/dagre';
import { h, svg } from './dom';
import type { Picture, PictureArrow as Arrow, PictureBox as Box, Pictures } from '../../target/npm/autoscaler_guard.js';

/** What became of a box or an arrow since before. */
type Fate = 'same' | 'new' | 'gone';

const CHANGED: Record<Fate, string> = { same: '', new: 'now', gone: 'no longer' };

/** Which picture is drawn: what is at stake is not so before the change, and is kept by a repair. */
type Moment = 'before' | 'asked' | 'repaired';

const STAKES: Record<Moment, string> = { before: '', asked: 'at stake', repaired: 'kept' };

interface Point {
  x: number;
  y: number;
}

interface Drawn<Thing> {
  thing: Thing;
  fate: Fate;
}

interface Plan {
  width: number;
  height: number;
  boxes: Map<string, Point & { width: number }>;
  arrows: Map<string, { points: Point[]; label: Point }>;
}

const HEIGHT = 72;
/** Between the lines in a box. */
const LINE = 15;
/** Letters of a name that are shown; the rest of it stands in the words below. */
const LETTERS = 30;

/** `asked` and `repaired` are ways to see what comes after; which one is shown is remembered in `chosen`. */
export function pictures(
  { before, asked, repaired }: Pictures,
  isDelete: boolean,
  chosen: { repaired: boolean },
): HTMLElement | null {
  const all = [before, asked, ...(repaired ? [repaired] : [])];
  if (all.every(({ boxes }) => boxes.length === 0)) return null;
  const plan = planned(all);
  const figures = h('div', { class: 'pictures' });
  const words = h('ul', {});
  const show = () => {
    const [after, moment]: [Picture, Moment] = chosen.repaired && repaired ? [repaired, 'repaired'] : [asked, 'asked'];
    const [first, second] = completed(before, after, isDelete);
    const [now, then] = [fates(first, first, 'before'), fates(first, second, moment)];
    const isSame = then.boxes.every(({ fate }) => fate === 'same') && then.arrows.every(({ fate }) => fate === 'same');
    const title = repaired ? (chosen.repaired ? 'After, as the policy repairs it' : 'After, as it was asked for') : 'After';
    const name = isSame ? 'Before and after: the same' : 'Before';
    // What is at stake is drawn where it happens; if nothing happens that can be drawn, in the one picture.
    // Beside each other where both can still be read.
    figures.style.gridTemplateColumns = `repeat(auto-fit, minmax(min(100%, ${Math.round(plan.width * 0.8)}px), 1fr))`;
    figures.replaceChildren(figure(name, plan, isSame ? then : now), ...(isSame ? [] : [figure(title, plan, then)]));
    words.replaceChildren(...sentences(then).map((sentence) => h('li', {}, sentence)));
  };
  show();
  return h(
    'div',
    {},
    repaired ? choice(chosen, show) : null,
    figures,
    h('details', { class: 'words' }, h('summary', {}, 'In words'), words),
  );
}

function choice(chosen: { repaired: boolean }, show: () => void): HTMLElement {
  const option = (label: string, repaired: boolean) => {
    const change = () => {
      chosen.repaired = repaired;
      show();
    };
    return h(
      'label',
      {},
      h('input', { type: 'radio', name: 'after', checked: chosen.repaired === repaired, change }),
      ` ${label}`,
    );
  };
  const legend = h('legend', {}, 'After the change');
  return h(
    'fieldset',
    { class: 'choice' },
    legend,
    option('as the policy repairs it', true),
    option('as it was asked for', false),
  );
}

function keyOf({ from, to, meaning }: Arrow): string {
  return `${from} ${meaning} ${to}`;
}

/** One place for everything that is in any of the pictures. */
function planned(all: Picture[]): Plan {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'TB', nodesep: 20, ranksep: 20, edgesep: 14, marginx: 6, marginy: 6 });
  for (const box of all.flatMap(({ boxes }) => boxes)) {
    const letters = Math.max(shortened(box.name).length * 7.4, Math.max(box.kind.length, box.namespace?.length ?? 0) * 6.4, 106);
    const width = Math.max(letters + 24, graph.node(box.id)?.width ?? 0);
    graph.setNode(box.id, { width, height: HEIGHT });
  }
  for (const arrow of all.flatMap(({ arrows }) => arrows)) {
    if (!graph.hasNode(arrow.from) || !graph.hasNode(arrow.to)) continue;
    const width = Math.max(arrow.meaning.length, 9) * 6.2;
    graph.setEdge(arrow.from, arrow.to, { width, height: 30, labelpos: 'c' }, keyOf(arrow));
  }
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    width: Math.ceil(width),
    height: Math.ceil(height),
    boxes: new Map(graph.nodes().map((id) => [id, graph.node(id) as Point & { width: number }])),
    arrows: new Map(
      graph.edges().map((edge) => {
        const { points = [], x = 0, y = 0 } = graph.edge(edge) as Partial<Point> & { points?: Point[] };
        return [edge.name ?? '', { points, label: { x, y } }];
      }),
    ),
  };
}

interface Fates {
  moment: Moment;
  boxes: Drawn<Box>[];
  arrows: Drawn<Arrow>[];
}

/**
 * A picture holds what hangs together. What is cut off from the rest by the change, or comes to it, is there all the same, before and
 * after; gone is what is deleted, and what it owns.
 */
function completed(before: Picture, after: Picture, isDelete: boolean): [Picture, Picture] {
  const gone = new Set(before.boxes.filter(({ requested }) => isDelete && requested).map(({ id }) => id));
  const missing = before.boxes.filter(({ id, there }) => there && !after.boxes.some((box) => box.id === id));
  // As often as one may own the next.
  for (const _ of missing) {
    const owned = missing.filter(({ id }) =>
      before.arrows.some(({ from, to, meaning }) => to === id && meaning === 'owns' && gone.has(from)),
    );
    for (const { id } of owned) gone.add(id);
  }
  const joined = after.boxes.filter(
    ({ id, there, requested }) => there && !requested && !before.boxes.some((box) => box.id === id),
  );
  return [
    { ...before, boxes: [...before.boxes, ...joined] },
    { ...after, boxes: [...after.boxes, ...missing.filter(({ id }) => !gone.has(id))] },
  ];
}

function fates(before: Picture, after: Picture, moment: Moment): Fates {
  const old = new Map(before.boxes.map((box) => [box.id, box]));
  const now = new Map(after.boxes.map((box) => [box.id, box]));
  const box = (id: string): Drawn<Box> => {
    const [was, is] = [old.get(id), now.get(id)];
    const thing = (is ?? was)!;
    if (was?.there && !is?.there) return { thing: { ...was, ...is, there: true }, fate: 'gone' };
    if (!was?.there && is?.there) return { thing, fate: 'new' };
    // A name that nobody mentions any more.
    return { thing, fate: is ? 'same' : 'gone' };
  };
  const arrows = new Map([...before.arrows, ...after.arrows].map((arrow) => [keyOf(arrow), arrow]));
  const has = (picture: Picture, key: string) => picture.arrows.some((arrow) => keyOf(arrow) === key);
  return {
    moment,
    boxes: [...new Set([...old.keys(), ...now.keys()])].map(box),
    arrows: [...arrows].map(([key, thing]) => {
      const [was, is] = [has(before, key), has(after, key)];
      return { thing, fate: was === is ? 'same' : is ? 'new' : 'gone' };
    }),
  };
}

function figure(title: string, plan: Plan, { boxes, arrows, moment }: Fates): HTMLElement {
  const { width, height } = plan;
  const label = `${title}. ${boxes.length} objects; the list “In words” says how they hang together.`;
  const drawing = svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width: `${width}`, height: `${height}`, role: 'img', 'aria-label': label },
    ...arrows.map((arrow) => arrowOf(arrow, plan, moment)),
    ...boxes.map((box) => boxOf(box, plan, moment)),
  );
  return h('figure', {}, h('figcaption', {}, title), drawing);
}

function boxOf({ thing, fate }: Drawn<Box>, { boxes }: Plan, moment: Moment): SVGElement | null {
  const place = boxes.get(thing.id);
  if (!place) return null;
  const { x, y, width } = place;
  const [left, top] = [x - width / 2, y - HEIGHT / 2];
  const classes = ['box', fate, thing.there ? '' : 'absent', thing.requested ? 'requested' : '', stake(thing, moment)];
  const lines = [
    ['kind', thing.kind],
    ['name', shortened(thing.name)],
    ['namespace', thing.namespace ?? ''],
    ['marks', marksOf(thing, fate, moment).join(' · ')],
  ].filter(([, line]) => line !== '') as [string, string][];
  return svg(
    'g',
    { class: classes.join(' ') },
    svg('title', {}, nameOf(thing)),
    svg('rect', { x: `${left}`, y: `${top}`, width: `${width}`, height: `${HEIGHT}`, rx: '6' }),
    ...lines.map(([kind, line], index) => {
      const middle = y + 4 + (index - (lines.length - 1) / 2) * LINE;
      return svg('text', { x: `${x}`, y: `${middle}`, class: kind }, line);
    }),
  );
}

function stake({ atStake }: { atStake: boolean }, moment: Moment): string {
  return atStake ? { before: '', asked: 'stake', repaired: 'kept' }[moment] : '';
}

function marksOf(box: Box, fate: Fate, moment: Moment): string[] {
  const marks = [
    fate === 'new' && 'new',
    fate === 'gone' && (box.there ? 'gone' : 'not named'),
    fate === 'same' && !box.there && 'not there',
    box.requested && 'in the request',
    box.atStake && STAKES[moment],
  ];
  return marks.filter((mark): mark is string => mark !== false && mark !== '');
}

function arrowOf({ thing, fate }: Drawn<Arrow>, { arrows }: Plan, moment: Moment): SVGElement | null {
  const place = arrows.get(keyOf(thing));
  const [start, ...rest] = place?.points ?? [];
  const [end, last] = [rest.at(-1), rest.at(-2) ?? start];
  if (!place || !start || !end || !last) return null;
  const lines = [CHANGED[fate], thing.meaning].filter((line) => line !== '');
  const { x, y } = place.label;
  const top = y + 4 - (lines.length - 1) * 6.5;
  const angle = (Math.atan2(end.y - last.y, end.x - last.x) * 180) / Math.PI;
  return svg(
    'g',
    { class: ['arrow', fate, stake(thing, moment)].join(' ') },
    svg('path', { d: curve(place.points), class: 'line' }),
    svg('path', { d: 'M0 0L-9 -4.5V4.5Z', class: 'head', transform: `translate(${end.x} ${end.y}) rotate(${angle})` }),
    svg('text', {}, ...lines.map((line, index) => svg('tspan', { x: `${x}`, y: `${top + index * 13}` }, line))),
  );
}

/** Through the middles between the points, and bent towards the points themselves. */
function curve([start, ...points]: Point[]): string {
  if (!start) return '';
  const bends = points.slice(0, -1).map((point, index) => {
    const next = points[index + 1] ?? point;
    const isLast = index === points.length - 2;
    const end = isLast ? next : { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 };
    return `Q${point.x} ${point.y} ${end.x} ${end.y}`;
  });
  const straight = points.length === 1 ? points.map(({ x, y }) => `L${x} ${y}`) : [];
  return [`M${start.x} ${start.y}`, ...bends, ...straight].join('');
}

/** The same as the drawing of what comes after, for ears and for long names. */
function sentences({ boxes, arrows, moment }: Fates): string[] {
  const box = ({ thing, fate }: Drawn<Box>) => {
    const marks = marksOf(thing, fate, moment);
    return `${thing.kind} ${nameOf(thing)}${marks.length > 0 ? `: ${marks.join(', ')}` : ''}`;
  };
  const arrow = ({ thing, fate }: Drawn<Arrow>) => {
    return [thing.from, CHANGED[fate], thing.meaning, thing.to].filter((word) => word !== '').join(' ');
  };
  return [...boxes.map(box), ...arrows.map(arrow)];
}

function nameOf({ namespace, name }: Box): string {
  return namespace ? `${namespace}/${name}` : name;
}

function shortened(name: string): string {
  return name.length > LETTERS ? `${name.slice(0, LETTERS / 2)}…${name.slice(-LETTERS / 2 + 1)}` : name;
}
