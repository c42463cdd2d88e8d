/** The whole state as the fragment of a link, which browsers do not send to anybody. */
import type { Texts } from './examples';
import { packed, unpacked } from './packing';

const START = '#state=';

/** What browsers and chat programs take for a link without cutting it. */
const LONGEST = 60_000;

export class LinkError extends Error {}

export async function fragmentOf({ request, cluster, settings }: Texts): Promise<string> {
  const state = new TextEncoder().encode(JSON.stringify([request, cluster, settings]));
  const fragment = START + (await packed(state));
  if (fragment.length > LONGEST) {
    throw new LinkError(
      `This is too much for a link: it would have ${fragment.length} letters, and more than ${LONGEST} get cut off on their way. ` +
        'Leave out what the verdict does not need, such as managedFields and objects of other workloads.',
    );
  }
  return fragment;
}

/** The state in a fragment; none if it holds no state at all. */
export async function textsOf(fragment: string): Promise<Texts | undefined> {
  if (!fragment.startsWith(START)) return undefined;
  try {
    const state: unknown = JSON.parse(new TextDecoder().decode(await unpacked(fragment.slice(START.length))));
    if (!Array.isArray(state) || state.length !== 3 || !state.every((text) => typeof text === 'string')) throw new TypeError();
    const [request, cluster, settings] = state as [string, string, string];
    return { request, cluster, settings };
  } catch {
    throw new LinkError(
      'This link cannot be opened: it was cut off or changed on its way. Ask for it again, as a file if a chat program cuts it.',
    );
  }
}
