/** Packages come by digest: from any mirror that has them, and never with other bytes. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { sha256 } from '../../../images/build/digest.ts';
import { fetchDeb } from '../../../images/build/fetch-deb.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const skip = existsSync('/usr/lib/apt/apt-helper') ? false : 'there is no apt here';
const CONTENT = 'a package';
const PART = { name: 'thing', version: '1.0', path: 'pool/main/t/thing_1.0_amd64.deb', sha256: sha256(CONTENT) };

/** A mirror with one file; counts how often it was asked for. */
async function mirror(t: Test, content: string | undefined) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (content === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-length': content.length }).end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/debian`, asked };
}

t.test('is fetched from the first mirror that has it, and once', { skip }, async (t) => {
  const folder = tempDir(t);
  const [empty, full] = [await mirror(t, undefined), await mirror(t, CONTENT)];
  const options = { mirrors: [empty.url, full.url], folder };
  const file = await fetchDeb(PART, options);
  t.equal(readFileSync(file, 'utf8'), CONTENT);
  t.equal(await fetchDeb(PART, options), file);
  t.same(full.asked, [`/debian/${PART.path}`]);
  t.ok(empty.asked.length > 0, 'the other was asked before');
});

t.test('what a mirror has changed is refused, and not kept', { skip }, async (t) => {
  const folder = tempDir(t);
  const { url } = await mirror(t, 'other bytes');
  await t.rejects(fetchDeb(PART, { mirrors: [url], folder }), { code: 'UNAVAILABLE', message: /thing 1\.0/ });
  t.same(readdirSync(folder), []);
});

t.test('what was changed in the cache is fetched again', { skip }, async (t) => {
  const folder = tempDir(t);
  const { url } = await mirror(t, CONTENT);
  const file = await fetchDeb(PART, { mirrors: [url], folder });
  writeFileSync(file, 'spoiled');
  t.equal(readFileSync(await fetchDeb(PART, { mirrors: [url], folder }), 'utf8'), CONTENT);
});

t.test('a machine without a mirror is told what to do', { skip }, async (t) => {
  await t.rejects(fetchDeb(PART, { mirrors: [], folder: tempDir(t) }), { message: /ARCA_DEBIAN_MIRROR/ });
});
