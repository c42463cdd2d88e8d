// The package as a browser loads it: a page imports it from a server of plain files, judges a request and says what came of it.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const PACKAGE = new URL('../../../target/npm/', import.meta.url);
const REQUEST = new URL(
  '../../../tests/fixtures/requests/keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin.json',
  import.meta.url,
);
const PAGE = `<!doctype html><title>-</title><script type="module">
  import { review, rules, validateSettings } from '/browser.js';
  const request = await (await fetch('/request')).json();
  const answer = { ...review(request, [], { repair: false }), rules: rules().length, problems: validateSettings({ helm: 1 }) };
  document.body.textContent = JSON.stringify(answer);
</script>`;
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm' };

function chromium() {
  const runs = (program) => {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  return ['chromium', 'chromium-browser', 'google-chrome'].find(runs);
}

function answer({ url }, response) {
  if (url === '/') return response.setHeader('content-type', 'text/html').end(PAGE);
  if (url === '/request') return response.end(JSON.stringify(JSON.parse(readFileSync(REQUEST, 'utf8')).request));
  try {
    const content = readFileSync(new URL(url.slice(1), PACKAGE));
    return response.setHeader('content-type', TYPES[extname(url)] ?? 'text/plain').end(content);
  } catch {
    return response.writeHead(404).end();
  }
}

const browser = chromium();
const skip = browser ? false : 'SKIPPED: the package is not tried in a browser, as there is no Chromium on PATH';

test('the package works in Chromium', { skip, timeout: 120_000 }, async () => {
  const server = createServer(answer);
  await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
  const profile = mkdtempSync(join(tmpdir(), 'autoscaler-guard-'));
  try {
    const { stdout } = await promisify(execFile)(browser, [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      `--user-data-dir=${profile}`,
      '--virtual-time-budget=20000',
      '--dump-dom',
      `http://127.0.0.1:${server.address().port}/`,
    ]);
    const body = /<body>(.*)<\/body>/s.exec(stdout)?.[1].replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    const answer = JSON.parse(body.trim() || '{}');
    assert.equal(answer.outcome, 'reviewed', stdout);
    assert.ok(answer.lookups.length > 0);
    assert.ok(answer.rules > 30);
    assert.deepEqual(answer.problems, [{ path: 'helm', problem: 'expected an object, got a number' }]);
  } finally {
    server.close();
    rmSync(profile, { recursive: true, force: true });
  }
});
