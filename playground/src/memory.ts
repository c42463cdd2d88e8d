/** What the browser keeps. Some let a page in a folder store nothing; then it holds until the page is closed. */
import type { Texts } from './examples';

const otherwise = new Map<string, string>();

export function remembered(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? otherwise.get(name);
  } catch {
    return otherwise.get(name);
  }
}

export function remember(name: string, value: string) {
  otherwise.set(name, value);
  try {
    localStorage.setItem(name, value);
  } catch {
    // It is said above.
  }
}

const TEXTS = 'texts';

/** Keeps the texts for when the page is loaded again in this tab, under the same address. */
export function keep(texts: Texts) {
  try {
    sessionStorage.setItem(TEXTS, JSON.stringify({ address: location.href, texts }));
  } catch {
    // Then they are not there again.
  }
}

export function kept(): Texts | undefined {
  try {
    const { address, texts } = JSON.parse(sessionStorage.getItem(TEXTS) ?? '{}') as { address?: string; texts?: Texts };
    return address === location.href ? texts : undefined;
  } catch {
    return undefined;
  }
}
