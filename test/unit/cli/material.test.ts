import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { plaintextBytes } from '../../../native/engine/public.ts';
import {
  formatValue,
  parseFormat,
  parseType,
  parseValue,
  readCiphertextFile,
  toCiphertextFile,
} from '../../../parent/cli/client/ciphertext-file.ts';
import { FORMAT_NAMES } from '../../../parent/cli/client/ciphertext-names.ts';
import { requestDomain } from '../../../parent/cli/client/domain.ts';
import { addToJournal, readJournal } from '../../../parent/cli/client/journal.ts';
import { cacheObject, checkObject, fetchText } from '../../../parent/cli/client/public-material.ts';
import { requireSigner } from '../../../parent/cli/client/signer.ts';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { domainHash, HASH_TAG } from '../../../wire/hash.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { idOf } from '../../helpers/requests.ts';

const BYTES = Buffer.alloc(300_000, 'key');
const DIGEST = domainHash(HASH_TAG.key, BYTES);

/** Serves the same bytes under every path but `/missing` and `/broken`. */
async function serve(t: { teardown(body: () => unknown): void }): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    if (request.url?.includes('missing')) response.writeHead(404).end();
    else if (request.url?.includes('broken')) response.writeHead(500).end();
    else if (request.url?.includes('moved')) response.writeHead(302, { location: '/elsewhere' }).end();
    else response.end(BYTES);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const bound = server.address();
  return { url: `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`, requests };
}

t.test('an object is fetched once, checked, and found in the cache from then on', async (t) => {
  const { url, requests } = await serve(t);
  const dir = t.testdir({});
  const object = { type: 'PublicKey', id: idOf(1), digest: DIGEST };
  const fractions: number[] = [];
  const path = await cacheObject({ dir, publicUrl: url }, object, (fraction) => fractions.push(fraction));
  t.same(await readFile(path), BYTES);
  t.equal(fractions.at(-1), 1, 'progress ends at the whole');
  t.equal(await cacheObject({ dir, publicUrl: url }, object), path);
  t.same(requests, [`/PublicKey/${idOf(1)}`]);
  t.equal(await checkObject(url, object), BYTES.byteLength);
});

t.test('an object with another digest never enters the cache', async (t) => {
  const { url } = await serve(t);
  const dir = t.testdir({});
  const object = { type: 'PublicKey', id: idOf(1), digest: new Uint8Array(32) };
  await t.rejects(cacheObject({ dir, publicUrl: url }, object), {
    code: 'KEY_INVALID',
    message: /the node signed 0000/,
  });
  await t.rejects(checkObject(url, object), { code: 'KEY_INVALID' });
  t.same(await readdir(join(dir, 'cache', 'PublicKey')), [], 'nothing is left behind');
});

t.test('missing, broken, moved and unreachable material is told apart', async (t) => {
  const { url } = await serve(t);
  await t.rejects(fetchText(`${url}/missing`), { code: 'NOT_FOUND' });
  await t.rejects(fetchText(`${url}/broken`), { code: 'UNAVAILABLE', message: /HTTP 500/ });
  await t.rejects(fetchText(`${url}/moved`), { code: 'UNAVAILABLE' }, 'redirects are not followed');
  await t.rejects(fetchText('http://127.0.0.1:1/x'), { code: 'UNAVAILABLE', facts: { cure: /arca doctor/ } });
});

t.test('the journal keeps order, names nothing twice and refuses what is no journal', async (t) => {
  const dir = join(t.testdir({}), 'new');
  t.same(await readJournal(dir), []);
  const entry = { kind: 'key', params: 'test', createdAt: '2026-01-01T00:00:00.000Z' } as const;
  await addToJournal(dir, { ...entry, id: idOf(1) });
  await addToJournal(dir, { ...entry, id: idOf(2) });
  await addToJournal(dir, { ...entry, id: idOf(1), createdAt: '2026-01-02T00:00:00.000Z' });
  t.same(
    (await readJournal(dir)).map(({ id }) => id),
    [idOf(1), idOf(2)],
  );
  await mkdir(join(dir, 'x'));
  await writeFile(join(dir, 'keys.json'), '{"entries":[{"id":"x"}]}');
  await t.rejects(readJournal(dir), { code: 'STATE_INVALID', message: /damaged/ });
});

t.test('every value of every type is read, and shown as it was given', async (t) => {
  const anyType = fc.constantFrom(...FHE_TYPES);
  fc.assert(
    fc.property(anyType, fc.bigInt(0n, 2n ** 2048n), ({ number, bits }, big) => {
      const value = big & (2n ** BigInt(bits) - 1n);
      const shown = formatValue(plaintextBytes(value, number), number);
      return parseValue(shown, number) === value && parseValue(`0x${value.toString(16)}`, number) === value;
    }),
  );
  for (const text of ['', '-1', '1.5', '0x', 'ten', '1e3', '256']) {
    t.throws(() => parseValue(text, 2), { code: 'REQUEST_INVALID' }, `'${text}' is no euint8`);
  }
});

t.test('types and formats are known by their names, published ones included', async (t) => {
  t.equal(parseType('euint64'), 5);
  t.equal(parseType('Uint64'), 5);
  t.equal(parseType('EBOOL'), 0);
  for (const [number, name] of FORMAT_NAMES.entries()) t.equal(parseFormat(name), number, name);
  t.equal(parseFormat('BigCompressed'), 2);
  t.throws(() => parseFormat('big'), { code: 'REQUEST_INVALID' });
});

t.test('a ciphertext file gives back what was written, and anything else is refused', async (t) => {
  const item = {
    keyId: parseRequestId(idOf(2)),
    fheType: 5,
    format: 3,
    handle: new Uint8Array(32).fill(1),
    ciphertext: Uint8Array.of(1, 2, 3),
  };
  const good = toCiphertextFile(item);
  const dir = t.testdir({ 'good.ct': JSON.stringify(good) });
  t.same(await readCiphertextFile(join(dir, 'good.ct')), item);
  const bad: [string, string][] = [
    ['not JSON', 'x'],
    ['null', 'null'],
    ['unknown member', JSON.stringify({ ...good, extra: 1 })],
    ['no base64', JSON.stringify({ ...good, ciphertext: '???' })],
    ['long handle', JSON.stringify({ ...good, handle: '00'.repeat(33) })],
    ['newer version', JSON.stringify({ ...good, version: 2 })],
    ['unknown type', JSON.stringify({ ...good, fheType: 'euint7' })],
    ['zero key id', JSON.stringify({ ...good, keyId: '0'.repeat(64) })],
  ];
  for (const [why, text] of bad) {
    await writeFile(join(dir, 'bad.ct'), text);
    await t.rejects(readCiphertextFile(join(dir, 'bad.ct')), { code: 'REQUEST_INVALID' }, why);
  }
  await t.rejects(readCiphertextFile(join(dir, 'absent.ct')), { code: 'REQUEST_INVALID', message: /cannot read/ });
});

t.test('a domain must be one that nodes accept', async (t) => {
  const domain = {
    name: 'n',
    version: '1',
    chainId: '8006',
    verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
  };
  t.same(requestDomain(domain).message.chainId, Uint8Array.of(0x1f, 0x46));
  t.same(requestDomain({ ...domain, chainId: '0' }).parsed.chainId, new Uint8Array(32));
  const wrong = [
    { chainId: '' },
    { chainId: '0x1' },
    { chainId: '9'.repeat(79) },
    { verifyingContract: domain.verifyingContract.toLowerCase() },
  ];
  for (const change of wrong) {
    t.throws(() => requestDomain({ ...domain, ...change }), { code: 'REQUEST_INVALID' }, JSON.stringify(change));
  }
});

t.test('a signature of another key names both addresses', async (t) => {
  const [one, other] = [createReferenceNode(), createReferenceNode(new Uint8Array(32).fill(9))];
  const digest = new Uint8Array(32).fill(3);
  requireSigner(digest, one.signDigest(digest), one.addressText, 'it');
  t.throws(() => requireSigner(digest, other.signDigest(digest), one.addressText, 'it'), {
    code: 'PERMISSION_DENIED',
    facts: { expected: one.addressText, found: other.addressText },
  });
});
