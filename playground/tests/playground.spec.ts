import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Page } from '@playwright/test';
import { parse, parseAllDocuments } from 'yaml';
import { example, examples, expect, open, PAGE, pick, tab, test, type, verdict } from './page';

const NAMES = { rejected: 'Rejected', repaired: 'Repaired', warned: 'Warned', allowed: 'Allowed' };

test('every example gets the verdict that it promises', async ({ page }) => {
  test.slow();
  await open(page);
  const offered = await page
    .locator('#example option')
    .evaluateAll((options) => options.map((option) => (option as HTMLOptionElement).value));
  expect(offered).toEqual(['', ...examples.map(({ id }) => id)]);
  for (const { id, verdict: promised, rule } of examples) {
    await pick(page, id);
    await expect.soft(verdict(page), id).toHaveText(NAMES[promised]);
    if (rule) await expect.soft(page.getByRole('list', { name: 'Rules that spoke' }), id).toContainText(rule);
  }
});

test('incident 1, picked, is repaired, and the patch and the picture show how', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-1');
  await expect(verdict(page)).toHaveText('Repaired');
  const patch = page.locator('[data-part=patch]');
  await expect(patch.locator('del', { hasText: 'kind: ScaledObject' })).toBeVisible();
  await expect(patch.locator('ins', { hasText: 'autoscaler-guard/released-from' })).toBeVisible();
  const after = page.locator('figure').nth(1);
  await expect(after).toContainText('After, as the policy repairs it');
  await expect(after.locator('.arrow.gone')).toHaveText('no longerowns');
  await expect(after.locator('.stake')).toHaveCount(0);
  await page.getByRole('radio', { name: 'as it was asked for' }).check();
  await expect(page.locator('figure .stake .marks').first()).toContainText('at stake');
  await page.getByText('In words').click();
  await expect(page.locator('.words')).toContainText('HorizontalPodAutoscaler shop/web: in the request, at stake');
});

test('incident 1, further on: what a plain delete would take along is red', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-5');
  await expect(verdict(page)).toHaveText('Rejected');
  await expect(page.locator('.message')).toContainText('would leave Deployment shop/web with no autoscaler');
  await expect(page.locator('.command').first()).toContainText('kubectl delete scaledobject web -n shop --cascade=orphan');
  const after = page.locator('figure').nth(1);
  await expect(after.locator('.box.gone.stake')).toContainText('HorizontalPodAutoscaler');
  await expect(after.locator('.box.stake:not(.gone)')).toContainText('Deployment');
  await expect(page.locator('figure').first().locator('.stake')).toHaveCount(0);
});

test('what is only cut off or joined by a change is there before and after', async ({ page }) => {
  await open(page);
  const [before, after] = [page.locator('figure').first(), page.locator('figure').nth(1)];
  await pick(page, 'rule-hpa-retargeted');
  for (const figure of [before, after]) await expect(figure.locator('.box')).toHaveCount(3);
  await expect(after.locator('.box.new, .box.gone')).toHaveCount(0);
  await expect(after.locator('.arrow.new')).toContainText('scales');
  await expect(after.locator('.arrow.gone.stake')).toContainText('scales');
  await pick(page, 'rule-gatewayclass-parameters');
  await expect(after.locator('.box', { hasText: 'EnvoyProxy' })).not.toHaveClass(/gone/);
  await pick(page, 'keda-hpa-helm3/001-create-horizontalpodautoscaler-lab-admin');
  await expect(before.locator('.box')).toHaveText(/Deployment/);
  await expect(after.locator('.box.new')).toContainText('HorizontalPodAutoscaler');
});

test('incident 2, picked, is refused with its help', async ({ page }) => {
  await open(page);
  for (const [id, text] of [
    ['incident-2-1', 'Envoy Gateway 1.3.0 leaves it behind, still scaling'],
    ['incident-2-2', 'Envoy Gateway 1.9.1 deletes its HPA'],
  ] as const) {
    await pick(page, id);
    await expect(verdict(page)).toHaveText('Rejected');
    await expect(page.locator('.message')).toContainText(text);
    const link = page.getByRole('link', { name: 'envoyhpa-removed' });
    await expect(link).toHaveAttribute('href', /^https:\/\/github\.com\/.*\/blob\/main\/docs\/rules\/envoyhpa-removed\.md$/);
  }
});

/** What a person would write down of the two incidents, and a setting that bears on them. */
const TYPED = {
  'incident 1': {
    request: `{operation: UPDATE, kind: {group: autoscaling, version: v2, kind: HorizontalPodAutoscaler}, namespace: shop, name: web,
userInfo: {username: jane}, options: {fieldManager: helm}, oldObject: &hpa {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler,
metadata: {namespace: shop, name: web, ownerReferences: [{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: web, uid: u1, controller: true}]},
spec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}, object: *hpa}`,
    cluster: `[{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {namespace: shop, name: web, uid: u1, generation: 1},
spec: {scaleTargetRef: {name: web}}},
{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: shop, name: web}}]`,
    verdict: ['Repaired', 'hpa-handover', 'HPA shop/web was released from ScaledObject shop/web'],
    settings: 'repair: false',
    then: ['Rejected', 'Delete the ScaledObject without its HPA'],
  },
  'incident 2': {
    request: `{operation: UPDATE, kind: {group: gateway.envoyproxy.io, version: v1alpha1, kind: EnvoyProxy}, namespace: infra, name: fleet,
userInfo: {username: jane}, oldObject: {apiVersion: gateway.envoyproxy.io/v1alpha1, kind: EnvoyProxy, metadata: {namespace: infra, name: fleet},
spec: {provider: {type: Kubernetes, kubernetes: {envoyHpa: {maxReplicas: 5}}}}},
object: {apiVersion: gateway.envoyproxy.io/v1alpha1, kind: EnvoyProxy, metadata: {namespace: infra, name: fleet}, spec: {}}}`,
    cluster: `[{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: eg},
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller,
parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: fleet, namespace: infra}}},
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: infra, name: eg}, spec: {gatewayClassName: eg}}]`,
    verdict: ['Rejected', 'envoyhpa-removed', 'Which Envoy Gateway runs is not known'],
    settings: 'envoyGateway: {version: "1.3.0"}',
    then: ['Rejected', 'Envoy Gateway 1.3.0 leaves it behind'],
  },
} as const;

for (const [incident, { request, cluster, verdict: first, settings, then }] of Object.entries(TYPED)) {
  test(`${incident}, typed key by key, gets its verdict`, async ({ page }) => {
    test.slow();
    await open(page);
    await pick(page, 'rule-target-missing');
    await type(page, 'Cluster', cluster);
    await type(page, 'Request', request);
    await expect(verdict(page)).toHaveText(first[0]);
    await expect(page.getByRole('list', { name: 'Rules that spoke' })).toContainText(first[1]);
    await expect(page.locator('#verdict')).toContainText(first[2]);
    await expect(page.getByLabel('Example', { exact: true })).toHaveValue('');
    await type(page, 'Settings', settings);
    await expect(verdict(page)).toHaveText(then[0]);
    await expect(page.locator('#verdict')).toContainText(then[1]);
  });
}

test('what is pasted is judged, and undoing brings back what was there', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-1');
  await (await tab(page, 'Request')).focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(example('incident-1-5').request);
  await expect(page.locator('.headline')).toHaveText('DELETE ScaledObject shop/web by lab-admin');
  await expect(verdict(page)).toHaveText('Rejected');
  await page.keyboard.press('ControlOrMeta+z');
  await expect(verdict(page)).toHaveText('Repaired');
});

test('wrong settings are shown where they are', async ({ page }) => {
  await open(page);
  await type(page, 'Settings', 'handover: {fieldManagers: [helm, "my deployer"]}');
  await expect(verdict(page)).toHaveText('Not judged');
  await expect(page.locator('#panel-settings .cm-lintRange-error')).toHaveText('"my deployer"');
  await expect(page.getByRole('tab', { name: 'Settings' })).toContainText('1 problem');
  const problem = page.locator('.troubles li');
  await expect(problem).toContainText('handover.fieldManagers[1]');
  await expect(problem).toContainText('is not a pattern');
  // The problem leads to its place from anywhere.
  await tab(page, 'Request');
  await problem.getByRole('button', { name: 'settings, line 1' }).click();
  await expect(page.getByRole('textbox', { name: 'Settings' })).toBeFocused();
  expect(await page.evaluate(() => getSelection()?.toString())).toBe('"my deployer"');
  await page.keyboard.type('kapp');
  await expect(verdict(page)).toHaveText('Repaired');
  await expect(page.locator('.cm-lintRange-error')).toHaveCount(0);
});

test('all that is wrong with settings is listed at once, and keys are marked', async ({ page }) => {
  await open(page);
  await type(page, 'Settings', 'repiar: false\nrules:\nhpa-deletd: warn');
  await expect(page.locator('.troubles')).toContainText('did you mean repair?');
  await expect(page.locator('#panel-settings .cm-lintRange-error').first()).toHaveText('repiar');
  await type(page, 'Settings', 'rules: {hpa-deleted: off}');
  await expect(page.locator('#panel-settings .cm-lintRange-error')).toHaveText('hpa-deleted');
});

test('mistakes in the request and the cluster are shown where they are', async ({ page }) => {
  await open(page);
  await type(page, 'Request', 'operation: [UPDATE');
  await expect(page.locator('.troubles')).toContainText('request, line 1');
  await expect(page.locator('.troubles')).toContainText('This is no YAML');
  await expect(page.locator('#panel-request .cm-lintRange-error, #panel-request .cm-lintPoint-error')).not.toHaveCount(0);
  await type(page, 'Request', '{"request": {"uid": "x", "operation": "UPDATE"}}');
  await expect(page.locator('.troubles')).toContainText('request');
  await expect(page.locator('#panel-request .cm-lintRange-error').first()).toHaveText('"request"');
  await pick(page, 'incident-1-1');
  const cluster = await tab(page, 'Cluster');
  await cluster.focus();
  await page.keyboard.press('ControlOrMeta+End');
  await page.keyboard.type('\n---\nkind: Deployment');
  await expect(page.locator('.troubles')).toContainText('cluster[4]');
  await expect(page.locator('#panel-cluster .cm-lint-marker-error')).toHaveCount(1);
  const line = await page.locator('.troubles button').textContent();
  const lines = example('incident-1-1').cluster.trimEnd().split('\n').length;
  expect(line).toBe(`cluster, line ${lines + 3}`);
});

/** Takes what the editor offers first. */
async function accept(page: Page, label: string) {
  await expect(page.locator('.cm-tooltip-autocomplete [aria-selected]')).toContainText(label);
  // The editor wants to be sure that Enter is meant for the offer, which has just come.
  await page.waitForTimeout(150);
  await page.keyboard.press('Enter');
}

test('settings are completed from their schema', async ({ page }) => {
  await open(page);
  await type(page, 'Settings', 'envoyHpaR');
  const offers = page.locator('.cm-tooltip-autocomplete');
  await expect(offers).toContainText('envoyHpaRemoval');
  await expect(page.locator('.cm-completionInfo')).toContainText('What happens when envoyHpa is removed');
  await accept(page, 'envoyHpaRemoval');
  await accept(page, 'pin');
  const settings = page.getByRole('textbox', { name: 'Settings' });
  await expect(settings).toHaveText('envoyHpaRemoval: pin');
  await page.keyboard.type('\nru');
  await accept(page, 'rules');
  await page.keyboard.type('hpa-hand');
  await accept(page, 'hpa-handover');
  await page.keyboard.type('re');
  await accept(page, 'reject');
  await expect(settings.locator('.cm-line')).toHaveText(['envoyHpaRemoval: pin', 'rules:', '  hpa-handover: reject']);
  await pick(page, 'incident-1-1');
  await expect(verdict(page)).toHaveText('Repaired');
  await type(page, 'Settings', 'declarations:\n- ap');
  await accept(page, 'apiVersion');
  await page.keyboard.type('a.b/v1\nk');
  await accept(page, 'kind');
  await expect(settings.locator('.cm-line')).toHaveText(['declarations:', '  - apiVersion: a.b/v1', '    kind: ']);
  await type(page, 'Settings', 'rules: {hpa-handover: reject}');
  await expect(verdict(page)).toHaveText('Rejected');
});

test('an object that was not found can be added', async ({ page }) => {
  await open(page);
  await pick(page, 'rule-target-missing');
  await expect(verdict(page)).toHaveText('Warned');
  await page.getByRole('button', { name: 'Add Deployment web to the cluster' }).click();
  await expect(page.getByRole('textbox', { name: 'Cluster' })).toBeFocused();
  await expect(verdict(page)).toHaveText('Allowed');
});

test('a shared link brings everything back in a new page', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await open(page);
  await pick(page, 'incident-1-5');
  await type(page, 'Settings', 'rules: {scaledobject-deleted: warn}   # für alle ✓');
  await expect(verdict(page)).toHaveText('Warned');
  await page.getByRole('button', { name: 'Copy link' }).click();
  await expect(page.locator('#notice')).toContainText('The link is copied');
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(link).toBe(page.url());
  const other = await context.newPage();
  await open(other, link);
  await expect(verdict(other)).toHaveText('Warned');
  await expect(other.locator('.headline')).toHaveText('DELETE ScaledObject shop/web by lab-admin');
  await expect(other.getByRole('tab', { name: /^Cluster/ })).toContainText('4');
  await tab(other, 'Settings');
  await expect(other.getByRole('textbox', { name: 'Settings' })).toHaveText('rules: {scaledobject-deleted: warn}   # für alle ✓');
});

test('loading the page again keeps what was typed', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-5');
  await type(page, 'Settings', 'rules: {scaledobject-deleted: "off"}');
  await expect(verdict(page)).toHaveText('Allowed');
  await page.reload();
  await expect(verdict(page)).toHaveText('Allowed');
  await expect(page.locator('.headline')).toHaveText('DELETE ScaledObject shop/web by lab-admin');
});

test('what is open stays open from one verdict to the next', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-1');
  await page.getByText('For the audit log').click();
  await page.getByText('What was looked up').click();
  await pick(page, 'incident-2-2');
  await expect(page.locator('[data-part=audit] dl')).toBeVisible();
  await expect(page.locator('[data-part=lookups] table')).toBeHidden();
  await expect(page.locator('[data-part=picture] svg').first()).toBeVisible();
});

test('a broken link is reported, and nothing is lost', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-2-1');
  await page.getByRole('button', { name: 'Copy link' }).click();
  await expect(page).toHaveURL(/#state=/);
  const whole = page.url();
  const middle = whole.length - 400;
  const changed = whole.slice(0, middle) + (whole[middle] === 'A' ? 'B' : 'A') + whole.slice(middle + 1);
  for (const broken of [whole.slice(0, -300), changed, `${PAGE}#state=%%%`, `${PAGE}#state=`]) {
    await page.evaluate((address) => location.replace(address), broken);
    await expect(page.locator('#notice')).toContainText('This link cannot be opened');
    await expect(page.locator('.headline')).toContainText('UPDATE EnvoyProxy');
    await expect(page.getByLabel('Example', { exact: true })).toHaveValue('incident-2-1');
    await pick(page, 'incident-2-1');
    await expect(page.locator('#notice')).toBeEmpty();
  }
  await page.goto('about:blank');
  await page.goto(whole.slice(0, -300));
  await expect(page.locator('#notice')).toContainText('This link cannot be opened');
  await expect(verdict(page)).toBeVisible();
});

test('what is too much for a link is reported', async ({ page }) => {
  await open(page);
  await (await tab(page, 'Cluster')).focus();
  await page.keyboard.press('ControlOrMeta+End');
  const noise = Array.from({ length: 60 }, () =>
    Array.from({ length: 1200 }, () => Math.random().toString(36).charAt(2)).join(''),
  ).join('\n# ');
  await page.keyboard.insertText(`\n# ${noise}`);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await expect(page.locator('#notice')).toContainText('too much for a link');
  expect(page.url()).toBe(PAGE);
});

test('the keyboard is enough', async ({ page }) => {
  await open(page);
  const focused = () =>
    page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute('aria-label') || '');
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the verdict' })).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(page.getByLabel('Example', { exact: true })).toBeFocused();
  for (let step = 0; step < 4; step += 1) await page.keyboard.press('ArrowDown');
  await expect(page.getByLabel('Example', { exact: true })).toHaveValue('incident-1-5');
  await expect(verdict(page)).toHaveText('Rejected');
  await expect(page.locator('#said')).toContainText(
    'Rejected: scaledobject-deleted. autoscaler-guard[scaledobject-deleted]: deleting',
  );
  const stops: string[] = [];
  while (!stops.includes('Request') && stops.length < 20) {
    await page.keyboard.press('Tab');
    stops.push(await focused());
  }
  expect(stops).toEqual(['previous', 'next', 'copy', 'dark', expect.any(String), 'tab-request', 'Request']);
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect(page.getByRole('tab', { name: 'Settings' })).toBeFocused();
  await page.keyboard.press('Tab');
  await page.keyboard.type('rules: {scaledobject-deleted: "off"}');
  await expect(verdict(page)).toHaveText('Allowed');
  // Out of the editor again, and to the verdict.
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.getElementById('verdict')?.contains(document.activeElement))).toBe(true);
});

test('the skip link leads to the verdict', async ({ page }) => {
  await open(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(page.locator('#verdict')).toBeFocused();
  expect(page.url()).toBe(PAGE);
});

test('the colours are the system’s until somebody chooses', async ({ browser }) => {
  const context = await browser.newContext({ colorScheme: 'dark' });
  const page = await context.newPage();
  await open(page);
  const paper = () => page.evaluate(() => getComputedStyle(document.querySelector('header')!).backgroundColor);
  const dark = await paper();
  await page.getByRole('button', { name: 'Dark', pressed: true }).click();
  const light = await paper();
  expect(light).not.toBe(dark);
  // A busy Chromium gives a page loaded again within milliseconds its local storage as it was before the click.
  await expect(async () => {
    await page.reload();
    await expect(page.getByRole('button', { name: 'Dark', pressed: false })).toBeVisible({ timeout: 2_000 });
  }).toPass({ timeout: 30_000 });
  expect(await paper()).toBe(light);
  await context.close();
});

test('a phone shows all of it in one column', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await open(page);
  for (const id of ['incident-1-1', 'incident-2-2', 'rule-hpa-retargeted']) {
    await pick(page, id);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, id).toBeLessThanOrEqual(0);
  }
  await expect(page.locator('#glance')).toHaveText('Rejected: hpa-retargeted');
  await page.locator('#glance').click();
  await expect(verdict(page)).toBeInViewport();
});

test('a host of plain files is enough', async ({ page }) => {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end(readFileSync(fileURLToPath(PAGE)));
  });
  await new Promise<void>((listens) => server.listen(0, '127.0.0.1', listens));
  try {
    await open(page, `http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
    await pick(page, 'incident-2-2');
    await expect(verdict(page)).toHaveText('Rejected');
  } finally {
    server.close();
  }
});

test('the page may connect to nothing', async ({ page, expected }) => {
  await open(page);
  const policy = await page.locator('meta[http-equiv]').getAttribute('content');
  expect(policy).toContain("default-src 'none'");
  expect(policy).toMatch(/; script-src 'sha256-[^ ]+' 'wasm-unsafe-eval';/);
  expect(policy).not.toMatch(/connect-src|https?:/);
  const refused = await page.evaluate(() => fetch('https://example.com/').catch((error: unknown) => String(error)));
  expect(refused).toContain('Failed to fetch');
  expected.push(/Connecting to 'https:\/\/example.com\/' violates|Refused to connect/, /Fetch API cannot load/);
});

test('texts are read as kubectl reads them', async ({ page }) => {
  await open(page);
  await pick(page, 'incident-1-1');
  // A bare off is false in YAML 1.1, so it is reported; numbers are kept to the letter.
  await type(page, 'Settings', 'repair: off');
  await expect(verdict(page)).toHaveText('Rejected');
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: parseAllDocuments(example('incident-1-1').cluster).map((one) => one.toJS() as unknown),
  };
  await (await tab(page, 'Cluster')).focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(JSON.stringify(list, null, '\t'));
  await expect(page.getByRole('tab', { name: /^Cluster/ })).toContainText('4');
  await type(page, 'Settings', '{"kind": "ClusterAdmissionPolicy", "spec": {"settings": {"repair": true}}}');
  await expect(verdict(page)).toHaveText('Repaired');
  const review = parse(example('incident-1-5').request) as { request: unknown };
  await (await tab(page, 'Request')).focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(JSON.stringify(review.request));
  await expect(verdict(page)).toHaveText('Rejected');
});
