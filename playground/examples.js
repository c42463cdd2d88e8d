// The examples to pick, made of the repository's own files: captured requests, objects and the rules' test pages. Nothing of them is
// copied here. Those of the incidents promise what the demo does (crates/cli/examples/demo).
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';

/** @typedef {import('./src/examples').Example} Example */
/** @typedef {import('./src/examples').Verdict} Verdict */
/** @typedef {Record<string, any>} Json */
/**
 * What an example is made of: files below tests/fixtures and changes to them, as on the test pages (crates/cases/src/lib.rs).
 * @typedef {{request?: string, audit?: string, edit?: Json, cluster?: string[], change?: Record<string, Json>, objects?: Json[], settings?: Json}} Case
 */

const TESTS = new URL('../tests/', import.meta.url);
const SHOP = ['hpa-web-owned', 'scaledobject-web', 'deployment-web', 'namespace-shop'];
const SHOP_AFTER = ['hpa-web-released', 'scaledobject-web', 'deployment-web', 'namespace-shop'];
/** @param {string} version */
const fleet = (version) => [
  `envoyproxy-fleet-${version}`,
  `gatewayclass-eg-${version}`,
  `gateway-eg-${version}`,
  `hpa-fleet-${version}`,
  'deployment-fleet',
  `deployment-envoy-gateway-${version}`,
  'namespace-envoy-gateway-system',
];

const UPDATED_BY_HELM = 'keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin';
const SCALED_OBJECT_DELETED = 'keda-hpa-helm3/008-delete-scaledobject-lab-admin';
const ENVOY_HPA_REMOVED = 'envoy-gateway-1.9.1/007-update-envoyproxy-lab-admin';

/** @type {{group: string, steps: ({title: string, story: string, verdict: Verdict, rule?: string} & Case)[]}[]} */
const INCIDENTS = [
  {
    group: 'Incident 1: a chart goes back from KEDA to a plain HPA',
    steps: [
      {
        title: 'Helm updates the HPA',
        story:
          'A new version of the chart drops the ScaledObject and brings an HPA of the same name. Helm updates the HPA that KEDA keeps, which would keep the ScaledObject as its owner, and so go down with it.',
        request: UPDATED_BY_HELM,
        cluster: SHOP,
        verdict: 'repaired',
        rule: 'hpa-handover',
      },
      {
        title: 'KEDA takes the HPA back',
        story:
          'Helm’s update has woken KEDA, and the ScaledObject is still there: KEDA would write the HPA anew, as the ScaledObject’s own.',
        ...caseOf('hpa-readoption', 'KEDA takes the released HPA back'),
        cluster: SHOP_AFTER,
        verdict: 'repaired',
        rule: 'hpa-readoption',
      },
      {
        title: 'Helm deletes the ScaledObject',
        story: 'The garbage collector would delete the HPA with it, if it were still the ScaledObject’s.',
        request: SCALED_OBJECT_DELETED,
        cluster: SHOP_AFTER,
        verdict: 'allowed',
      },
      {
        title: 'Helm updates the HPA, and the policy may not repair',
        story: 'Who does not want a policy to change requests gets an error in the upgrade, early enough, and the way to go.',
        request: UPDATED_BY_HELM,
        cluster: SHOP,
        settings: { repair: false },
        verdict: 'rejected',
        rule: 'hpa-handover',
      },
      {
        title: 'Somebody just deletes the ScaledObject',
        story: '“kubectl delete scaledobject web -n shop” would take the HPA along.',
        request: SCALED_OBJECT_DELETED,
        cluster: SHOP,
        verdict: 'rejected',
        rule: 'scaledobject-deleted',
      },
      {
        title: 'Somebody deletes the ScaledObject and means it',
        story: 'They annotated it as the message says: autoscaler-guard/allow=scaledobject-deleted. The audit log keeps it.',
        request: SCALED_OBJECT_DELETED,
        edit: { oldObject: { metadata: { annotations: { 'autoscaler-guard/allow': 'scaledobject-deleted' } } } },
        cluster: SHOP,
        verdict: 'allowed',
      },
    ],
  },
  {
    group: 'Incident 2: envoyHpa is removed from an EnvoyProxy',
    steps: [
      {
        title: 'On Envoy Gateway 1.3, before 1.5',
        story: 'The HPA would stay and keep scaling, though nothing declares it any more, even after the Gateway is deleted.',
        request: 'envoy-gateway-1.3.0/006-update-envoyproxy-lab-admin',
        cluster: fleet('1.3.0'),
        verdict: 'rejected',
        rule: 'envoyhpa-removed',
      },
      {
        title: 'On Envoy Gateway 1.9',
        story: 'The HPA would be deleted, and the fleet would stay at the size that it happens to have.',
        request: ENVOY_HPA_REMOVED,
        cluster: fleet('1.9.1'),
        verdict: 'rejected',
        rule: 'envoyhpa-removed',
      },
      {
        title: 'A declared size takes its place',
        story: 'Who says how large the fleet shall be instead has decided, and nothing happens by chance.',
        request: ENVOY_HPA_REMOVED,
        edit: { object: { spec: { provider: { kubernetes: { envoyDeployment: { replicas: 4 } } } } } },
        cluster: fleet('1.9.1'),
        verdict: 'allowed',
      },
      {
        title: 'The policy pins the size',
        story:
          'With this setting the removal means: stay at this size. envoyHpa stays, with its minimum and maximum at the size that the fleet has.',
        request: ENVOY_HPA_REMOVED,
        cluster: fleet('1.9.1'),
        settings: { envoyHpaRemoval: 'pin' },
        verdict: 'repaired',
        rule: 'envoyhpa-removed',
      },
    ],
  },
];

// Captured requests that do not just pass, in the cluster that the requests before them left.
/** @type {Record<string, [Verdict, string]>} */
const CAPTURED = {
  'keda-hpa-helm3/004-delete-horizontalpodautoscaler-lab-admin': ['warned', 'hpa-deleted'],
  'keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin': ['repaired', 'hpa-handover'],
  'keda-hpa-helm3/008-delete-scaledobject-lab-admin': ['rejected', 'scaledobject-deleted'],
  'envoy-gateway-1.3.0/006-update-envoyproxy-lab-admin': ['rejected', 'envoyhpa-removed'],
  'envoy-gateway-1.3.0/009-delete-envoyproxy-lab-admin': ['rejected', 'envoyproxy-deleted'],
  'envoy-gateway-1.9.1/007-update-envoyproxy-lab-admin': ['rejected', 'envoyhpa-removed'],
  'envoy-gateway-1.9.1/011-delete-envoyproxy-lab-admin': ['rejected', 'envoyproxy-deleted'],
};

/** All examples, in the order in which they are offered. */
export function examples() {
  return [
    ...incidents(),
    ...captured('keda-hpa-helm3'),
    ...captured('envoy-gateway-1.3.0'),
    ...captured('envoy-gateway-1.9.1'),
    ...ofRules(),
  ];
}

/** @returns {Example[]} */
function incidents() {
  return INCIDENTS.flatMap(({ group, steps }, incident) =>
    steps.map(({ title, story, verdict, rule, ...made }, step) => ({
      id: `incident-${incident + 1}-${step + 1}`,
      group,
      title: `${step + 1}. ${title}`,
      story,
      verdict,
      rule,
      ...texts(made),
    })),
  );
}

/**
 * What an API server sent, one request after the other.
 * @param {string} folder
 * @returns {Example[]}
 */
function captured(folder) {
  const cluster = new Stored(BEFORE[folder] ?? []);
  const descriptions = readFileSync(new URL('fixtures/README.md', TESTS), 'utf8');
  const section = descriptions.slice(descriptions.indexOf(`### ${folder}\n`)).split('\n### ')[0] ?? '';
  const story = section.split('\n\n')[1] ?? '';
  const files = readdirSync(new URL(`fixtures/requests/${folder}`, TESTS)).sort();
  return files.map((file) => {
    const name = `${folder}/${file.replace('.json', '')}`;
    const title = section.match(new RegExp(`\\| ${file.replaceAll('.', '\\.')} \\| (.*)\\. \\|`))?.[1];
    if (!title) throw new Error(`tests/fixtures/README.md does not say what ${name} is`);
    const review = captureOf(name);
    const [verdict, rule] = CAPTURED[name] ?? ['allowed'];
    const example = { id: name, group: `Captured: ${folder}`, title: `${file.slice(0, 3)} ${title}`, story, verdict, rule };
    const made = { ...example, request: text(review), cluster: cluster.text(), settings: '' };
    cluster.apply(review.request);
    return made;
  });
}

// What was in the clusters before their first captured request.
/** @type {Record<string, string[]>} */
const BEFORE = {
  'keda-hpa-helm3': ['deployment-web', 'namespace-shop'],
  'envoy-gateway-1.3.0': ['deployment-fleet', 'deployment-envoy-gateway-1.3.0', 'namespace-envoy-gateway-system'],
  'envoy-gateway-1.9.1': ['deployment-fleet', 'deployment-envoy-gateway-1.9.1', 'namespace-envoy-gateway-system'],
};

/** A cluster that requests change. */
class Stored {
  /** @param {string[]} names */
  constructor(names) {
    /** @type {Map<string, Json>} */
    this.objects = new Map();
    for (const name of names) this.put(objectOf(name));
  }

  /** @param {Json} object */
  put(object) {
    const { namespace, name } = object.metadata;
    this.objects.set([object.kind, namespace, name].join(' '), object);
  }

  /** @param {Json} request */
  apply({ operation, object, oldObject }) {
    const { kind, metadata } = object ?? oldObject;
    const key = [kind, metadata.namespace, metadata.name].join(' ');
    // What has finalizers is only marked, until the last of them is gone.
    if (operation === 'DELETE' && oldObject.metadata.finalizers?.length) {
      this.put({
        ...oldObject,
        metadata: { ...metadata, deletionTimestamp: '2026-11-21T17:09:45Z', deletionGracePeriodSeconds: 0 },
      });
    } else if (operation === 'DELETE' || (metadata.deletionTimestamp && !metadata.finalizers?.length)) {
      this.objects.delete(key);
    } else {
      this.put(object);
    }
  }

  text() {
    return [...this.objects.values()].map(text).join('---\n');
  }
}

/**
 * The first case of every page in which its rule speaks.
 * @returns {Example[]}
 */
function ofRules() {
  /** @type {Record<string, Verdict>} */
  const verdicts = { warn: 'warned', repair: 'repaired', reject: 'rejected' };
  const pages = readdirSync(new URL('rules', TESTS)).filter((file) => file.endsWith('.yaml'));
  return pages.sort().map((file) => {
    const rule = file.replace('.yaml', '');
    const found = pageOf(rule).find(({ expect }) => verdicts[expect]);
    if (!found) throw new Error(`tests/rules/${file} has no case in which the rule speaks`);
    const { name, expect, ...made } = found;
    const verdict = /** @type {Verdict} */ (verdicts[expect]);
    return { id: `rule-${rule}`, group: 'Rules', title: `${rule}: ${name}`, story: '', verdict, rule, ...texts(made) };
  });
}

/** @param {string} rule @returns {({name: string, expect: string} & Case)[]} */
function pageOf(rule) {
  return parse(readFileSync(new URL(`rules/${rule}.yaml`, TESTS), 'utf8')).cases;
}

/** @param {string} rule @param {string} name @returns {Case} */
function caseOf(rule, name) {
  const found = pageOf(rule).find((one) => one.name === name);
  if (!found) throw new Error(`tests/rules/${rule}.yaml has no case "${name}"`);
  const { name: _name, expect: _expect, ...made } = found;
  return made;
}

/**
 * The three texts of a case.
 * @param {Case} made
 */
function texts({ request, audit, edit = {}, cluster = [], change = {}, objects = [], settings = {} }) {
  const names = audit ? [...cluster, audit] : cluster;
  /** @param {string} name */
  const neighbour = (name) => (change[name] ? text(merged(objectOf(name), change[name])) : textOf(name));
  const review = audit ? replayed(merged(objectOf(audit), change[audit] ?? {})) : captureOf(request ?? '');
  const given = audit ? { ...settings, audit: true } : settings;
  return {
    request: text({ ...review, request: merged(review.request, edit) }),
    cluster: [...names.map(neighbour), ...objects.map(text)].join('---\n'),
    settings: Object.keys(given).length > 0 ? text(given) : '',
  };
}

/**
 * An object as the audit scanner replays it; `replayed` in crates/cases/src/lib.rs.
 * @param {Json} object
 * @returns {Json}
 */
function replayed(object) {
  const [version, group = ''] = object.apiVersion.split('/').reverse();
  const kind = { group, version, kind: object.kind };
  const resource = { group, version, resource: object.kind };
  const { uid, name, namespace } = object.metadata;
  const request = { uid, kind, resource, requestKind: kind, name, namespace, operation: 'CREATE', userInfo: {}, object };
  return { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: { ...request, oldObject: null, options: null } };
}

/** @param {string} name @returns {Json} */
function captureOf(name) {
  return JSON.parse(readFileSync(new URL(`fixtures/requests/${name}.json`, TESTS), 'utf8'));
}

/** @param {string} name */
function textOf(name) {
  return readFileSync(new URL(`fixtures/objects/${name}.yaml`, TESTS), 'utf8');
}

/** @param {string} name @returns {Json} */
function objectOf(name) {
  return parse(textOf(name));
}

/** @param {Json} value */
function text(value) {
  // What a Kubernetes client would take for something else is quoted.
  return stringify(value, { version: '1.1', lineWidth: 0 });
}

/**
 * A JSON merge patch (RFC 7386).
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
function merged(target, patch) {
  const isObject = (/** @type {unknown} */ value) => typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

// Run by itself it lists them.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { id, group, title, verdict, rule } of examples()) console.log([id, group, title, verdict, rule].join(' | '));
}
