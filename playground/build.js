// Makes the page: one file with everything in it, which works from a folder and asks nobody for anything.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { build } from 'esbuild';
import { examples } from './examples.js';

const HERE = new URL('./', import.meta.url);
const MODULE = new URL('../target/npm/autoscaler_guard_bg.wasm', HERE);
const PAGE = new URL('../target/playground/index.html', HERE);
const { repository } = JSON.parse(readFileSync(new URL('package.json', HERE), 'utf8'));
const DOCS = repository.replace('github:', 'https://github.com/');

/** As src/packing.ts unpacks it. @param {string | Buffer} content */
const packed = (content) => deflateSync(content, { level: 9 }).toString('base64url');

/** @type {import('esbuild').Plugin} */
const packing = {
  name: 'packed',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^packed:/ }, ({ path }) => ({ path, namespace: 'packed' }));
    onLoad({ filter: /.*/, namespace: 'packed' }, ({ path }) => ({
      loader: 'text',
      contents: packed(path === 'packed:module' ? readFileSync(MODULE) : JSON.stringify(examples())),
    }));
  },
};

/** @type {import('esbuild').BuildOptions} */
const options = {
  absWorkingDir: new URL('.', HERE).pathname,
  bundle: true,
  minify: true,
  write: false,
  charset: 'utf8',
  target: ['chrome123', 'firefox120', 'safari17.5'],
  legalComments: 'none',
  metafile: true,
};
const [made, { outputFiles: styles }] = await Promise.all([
  build({
    ...options,
    entryPoints: ['src/main.ts'],
    format: 'iife',
    plugins: [packing],
    define: { DOCS: JSON.stringify(`${DOCS}/blob/main/docs`) },
    // The address beside which the module lies is never asked for: it comes along.
    logOverride: { 'empty-import-meta': 'silent' },
  }),
  build({ ...options, entryPoints: ['src/style.css'] }),
]);
const script = textOf(made.outputFiles);
const style = textOf(styles);

/** @param {import('esbuild').OutputFile[] | undefined} files */
function textOf(files) {
  const text = files?.[0]?.text.trim();
  if (!text) throw new Error('esbuild made nothing');
  return text;
}

/**
 * The libraries' licences want to go along.
 * @param {import('esbuild').Metafile | undefined} metafile
 */
function licences(metafile) {
  const inputs = Object.keys(metafile?.inputs ?? {}).map((input) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]);
  const names = [...new Set(inputs.filter((name) => name !== undefined))].sort();
  const texts = names.map((name) => `${name}\n\n${readFileSync(new URL(`node_modules/${name}/LICENSE`, HERE), 'utf8').trim()}`);
  // Two dashes would end the comment.
  return texts.join('\n\n\n').replaceAll('--', '- -');
}

/** @param {string} text */
const digest = (text, encoding = 'base64') =>
  createHash('sha256')
    .update(text)
    .digest(/** @type {'base64'} */ (encoding));
// The editor makes styles while it runs, so they have a nonce; that of a file is always the same.
const nonce = digest(script + style).slice(0, 22);
const policy = [
  `default-src 'none'`,
  `script-src 'sha256-${digest(script)}' 'wasm-unsafe-eval'`,
  `style-src 'nonce-${nonce}'`,
  // What browsers put into an editor while somebody types.
  `style-src-attr 'unsafe-inline'`,
  // The editor's marks.
  `img-src data:`,
  `base-uri 'none'`,
  `form-action 'none'`,
];
const icon =
  "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><path d='M16 2 28 6v10c0 7-5 11-12 14C9 27 4 23 4 16V6Z' fill='#2456c8'/><path d='m10 17 6-6 6 6m-12 6 6-6 6 6' fill='none' stroke='#fff' stroke-width='2.5'/></svg>";
/** @type {Record<string, string>} */
const parts = {
  policy: policy.join('; '),
  nonce,
  style,
  script,
  docs: DOCS,
  icon: encodeURIComponent(icon),
  licences: licences(made.metafile),
};
const template = readFileSync(new URL('src/index.html', HERE), 'utf8');
const page = template.replace(/\{\{(\w+)\}\}/g, (_, name) => {
  const part = parts[name];
  if (part === undefined) throw new Error(`src/index.html wants ${name}, which nobody makes`);
  return part;
});

mkdirSync(new URL('.', PAGE), { recursive: true });
writeFileSync(PAGE, page);
console.log(
  `target/playground/index.html: ${Buffer.byteLength(page)} bytes, ${deflateSync(page, { level: 9 }).length} compressed`,
);
