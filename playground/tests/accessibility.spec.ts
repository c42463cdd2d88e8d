import AxeBuilder from '@axe-core/playwright';
import { expect, open, pick, tab, test, type, verdict } from './page';

const SCREENS = {
  light: { colorScheme: 'light', viewport: { width: 1440, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1440, height: 900 } },
  'light, on a phone': { colorScheme: 'light', viewport: { width: 360, height: 740 } },
  'dark, on a phone': { colorScheme: 'dark', viewport: { width: 360, height: 740 } },
} as const;

for (const [name, screen] of Object.entries(SCREENS)) {
  test.describe(name, () => {
    test.use(screen);
    test('axe finds nothing', async ({ page }) => {
      test.slow();
      const check = async (what: string) => {
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect
          .soft(
            violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
            what,
          )
          .toEqual([]);
      };
      await open(page);
      await check('repaired');
      await page.getByText('In words').click();
      await page.getByText('For the audit log').click();
      await page.getByRole('radio', { name: 'as it was asked for' }).check();
      await check('repaired, all of it');
      for (const id of ['incident-1-5', 'incident-2-2', 'rule-target-missing', 'incident-1-3']) {
        await pick(page, id);
        await check(id);
      }
      await type(page, 'Settings', 'repiar: true');
      await expect(verdict(page)).toHaveText('Not judged');
      await page.evaluate(() => (location.hash = '#state=broken'));
      await expect(page.locator('#notice')).toContainText('cannot be opened');
      await check('not judged, and a broken link');
      await (await tab(page, 'Cluster')).focus();
      await check('cluster');
    });
  });
}
