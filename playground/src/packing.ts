/** Compressed bytes as text: what build.js puts into the page, and the state in a link. zlib's checksum shows what is damaged. */

/** The most that is unpacked: more than anybody types, less than what makes a browser stumble. */
const MOST = 16 * 1024 * 1024;

export async function packed(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const compressed = await read(new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate')));
  const letters = Array.from(compressed, (byte) => String.fromCharCode(byte)).join('');
  return btoa(letters).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Fails on what `packed` did not make. */
export async function unpacked(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const compressed = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  return read(new Blob([compressed]).stream().pipeThrough(new DecompressionStream('deflate')));
}

async function read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    if (!value) continue;
    chunks.push(value);
    length += value.length;
    if (length > MOST) throw new RangeError('too much to unpack');
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
