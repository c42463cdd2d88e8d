// The package as Node loads it, with the module in it. Which answers are right is held in Rust.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { review, rules, validateSettings } from '../../../target/npm/node.js';

const captured = (name) => readFileSync(new URL(`../../../tests/fixtures/requests/${name}.json`, import.meta.url), 'utf8');

const HANDOVER = captured('keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin');
const HPA_DELETED = captured('envoy-gateway-1.9.1/008-delete-horizontalpodautoscaler-envoy-gateway');
const SCALED_OBJECT_DELETED = captured('keda-hpa-helm3/008-delete-scaledobject-lab-admin');

const AROUND = [
  JSON.parse(SCALED_OBJECT_DELETED).request.oldObject,
  { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'shop', name: 'web' }, spec: { replicas: 2 } },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' }, status: { phase: 'Active' } },
];

test('a handover is repaired, and the object comes whole', () => {
  const answer = review(HANDOVER, AROUND);
  assert.equal(answer.outcome, 'reviewed');
  assert.equal(answer.verdict, 'repaired');
  assert.deepEqual(answer.rules, ['hpa-handover']);
  const before = JSON.parse(HANDOVER).request.object;
  assert.deepEqual(answer.object.spec, before.spec);
  assert.equal(before.metadata.ownerReferences.length, 1);
  assert.equal(answer.object.metadata.ownerReferences, undefined);
  assert.equal(answer.auditAnnotations.rule, 'hpa-handover');
  const asked = { lookup: 'get keda.sh/v1alpha1 ScaledObject shop/web', outcome: 'found', failed: false };
  assert.deepEqual(answer.lookups.find(({ lookup }) => lookup === asked.lookup), asked);
});

test('settings decide', () => {
  const answer = review(HANDOVER, AROUND, { repair: false });
  assert.equal(answer.verdict, 'rejected');
  assert.equal(answer.code, 403);
  assert.match(answer.message, /^autoscaler-guard\[hpa-handover\]: /);
  assert.ok(answer.warnings.length > 0 && answer.warnings.every((warning) => warning.length <= 256));
  assert.equal(answer.object, undefined);
});

test('what is not in the cluster is not there', () => {
  const answer = review(SCALED_OBJECT_DELETED, []);
  assert.equal(answer.outcome, 'reviewed');
  assert.ok(answer.lookups.some(({ outcome, failed }) => outcome === 'absent' && !failed), JSON.stringify(answer));
});

test('controllers pass without a lookup', () => {
  const { verdict, lookups, warnings } = review(HPA_DELETED, null, null);
  assert.deepEqual({ verdict, lookups, warnings }, { verdict: 'allowed', lookups: [], warnings: [] });
});

test('text, review, request and objects are all the same', () => {
  const parsed = JSON.parse(HANDOVER);
  const wanted = review(HANDOVER, AROUND, {});
  for (const request of [parsed, parsed.request, JSON.stringify(parsed.request)]) {
    assert.deepEqual(review(request, JSON.stringify(AROUND), 'null'), wanted);
  }
});

test('what cannot be judged is an answer, no exception', () => {
  const settings = review(HANDOVER, AROUND, { repiar: true, rules: { 'hpa-deletd': 'warn' } });
  assert.deepEqual(settings, {
    outcome: 'invalidSettings',
    problems: [
      { path: 'repiar', problem: 'unknown; did you mean repair?' },
      { path: 'rules.hpa-deletd', problem: 'unknown; did you mean hpa-deleted?' },
    ],
  });
  const loop = {};
  loop.loop = loop;
  for (const nothing of [undefined, null, 3, '', '{', [], {}, loop, () => 1, Symbol('x')]) {
    const answer = review(nothing, AROUND);
    assert.equal(answer.outcome, 'unreadableRequest');
    assert.ok(answer.problems[0].path.startsWith('request') && answer.problems[0].problem);
  }
  assert.equal(review(HANDOVER, [{ kind: 'Deployment' }]).outcome, 'unusableCluster');
  assert.equal(review(HANDOVER, loop).outcome, 'unusableCluster');
  assert.equal(review(HANDOVER, AROUND, loop).outcome, 'invalidSettings');
  assert.equal(validateSettings(loop).length, 1);
});

test('settings are checked', () => {
  for (const fine of [undefined, null, {}, { repair: false }, '{}']) {
    assert.deepEqual(validateSettings(fine), []);
  }
  assert.deepEqual(validateSettings({ helm: 1 }), [{ path: 'helm', problem: 'expected an object, got a number' }]);
});

test('every case and every captured request gets the answer that it gets elsewhere', () => {
  const lines = readFileSync(new URL('../../../target/answers.jsonl', import.meta.url), 'utf8').trim().split('\n');
  assert.ok(lines.length > 700, `${lines.length} were found`);
  for (const line of lines) {
    const { name, request, cluster, settings, answer } = JSON.parse(line);
    assert.deepEqual(review(request, cluster, settings), answer, name);
  }
});

test('the catalogue has all rules', () => {
  const catalogue = rules();
  assert.ok(catalogue.length > 30);
  assert.deepEqual(catalogue.find(({ id }) => id === 'hpa-deleted').watches, [
    { kind: 'HorizontalPodAutoscaler', operations: ['DELETE'] },
  ]);
  for (const { id, title, default: action, since, mayReject } of catalogue) {
    assert.ok(id && title && since && ['warn', 'repair', 'reject'].includes(action) && typeof mayReject === 'boolean');
  }
});

test('the package is of the version of everything else', () => {
  const read = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
  const [, version] = /^version = "(.*)"$/m.exec(read('Cargo.toml'));
  assert.equal(JSON.parse(read('target/npm/package.json')).version, version);
});

test('the declarations name what there is', () => {
  const declared = readFileSync(new URL('../../../target/npm/autoscaler_guard.d.ts', import.meta.url), 'utf8');
  for (const name of ['Answer', 'Lookup', 'Problem', 'Review', 'RuleFacts', 'Watch']) {
    assert.match(declared, new RegExp(`export (type|interface) ${name}\\b`));
  }
  assert.match(declared, /export function review\(request: object \| string, .*\): Answer;/);
  assert.match(declared, /verdict: "allowed" \| "warned" \| "repaired" \| "rejected";/);
});
