/** The page in a browser, watched: it may ask nobody for anything and complain about nothing. */
import { test as base, expect, type Page } from '@playwright/test';
import { examples as all } from '../examples.js';
import type { Example } from '../src/examples';

export { expect };

export const PAGE = new URL('../../target/playground/index.html', import.meta.url).href;

export const examples: Example[] = all();

export function example(id: string): Example {
  const found = examples.find((one) => one.id === id);
  if (!found) throw new Error(`there is no example ${id}`);
  return found;
}

export const test = base.extend<{ expected: RegExp[]; watched: void }>({
  /** Complaints that a test provokes. */
  expected: async ({}, use) => use([]),
  watched: [
    async ({ context, expected }, use) => {
      const complaints: string[] = [];
      context.on('console', (message) => complaints.push(`console: ${message.text()}`));
      context.on('weberror', (error) => complaints.push(`error: ${error.error().message}`));
      context.on('request', (request) => {
        const isPage = request.isNavigationRequest() && request.url().split('#')[0]?.endsWith('/index.html');
        if (!isPage) complaints.push(`request: ${request.url()}`);
      });
      await use();
      expect(complaints.filter((complaint) => !expected.some((one) => one.test(complaint)))).toEqual([]);
    },
    { auto: true },
  ],
});

export async function open(page: Page, address = PAGE) {
  await page.goto(address);
  await expect(verdict(page)).toBeVisible();
}

export function verdict(page: Page) {
  return page.getByRole('region', { name: 'Verdict' }).getByRole('heading', { level: 2 });
}

export async function pick(page: Page, id: string) {
  await page.getByLabel('Example', { exact: true }).selectOption(id);
}

export async function tab(page: Page, name: 'Request' | 'Cluster' | 'Settings') {
  await page.getByRole('tab', { name: new RegExp(`^${name}`) }).click();
  return page.getByRole('textbox', { name, exact: true });
}

/** Types instead of what is in an editor, key by key. */
export async function type(page: Page, name: 'Request' | 'Cluster' | 'Settings', text: string) {
  await (await tab(page, name)).focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.press('Delete');
  await page.keyboard.type(text);
}
