/** The pictures of the page in the documentation: `make screenshots`. */
import { open, pick, test } from './page';

const SHOTS = {
  light: { example: 'incident-1-1', colorScheme: 'light', viewport: { width: 1280, height: 860 } },
  dark: { example: 'incident-2-2', colorScheme: 'dark', viewport: { width: 1280, height: 960 } },
  phone: { example: 'incident-1-5', colorScheme: 'light', viewport: { width: 390, height: 844 }, deviceScaleFactor: 1.5 },
} as const;

for (const [name, { example, ...screen }] of Object.entries(SHOTS)) {
  test.describe(name, () => {
    test.use(screen);
    test('screenshot', async ({ page }) => {
      await open(page);
      await pick(page, example);
      await page.mouse.move(0, 0);
      await page.screenshot({ path: `../docs/images/playground-${name}.png`, caret: 'hide' });
    });
  });
}
