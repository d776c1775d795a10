/** Where only what the other node has signed may come in: a vault in a bucket, as an engine in an enclave reads it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { bucketStore } from '../../../enclave/import/foreign-store.ts';
import { ForeignVault } from '../../../enclave/import/foreign-vault.ts';
import { signedBefore } from '../../../enclave/import/signed-before.ts';
import { keccak256, NodeKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { keygenDigest } from '../../../wire/eip712.ts';
import { DEFAULT_EPOCH_ID, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { decodePrivateSigKey } from '../../../wire/signing-keys.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import {
  CRS,
  DOMAIN,
  KEY,
  newNode,
  type OldNode,
  oldNode,
  opened,
  PREPROCESSING,
  takeOver,
  written,
} from '../../helpers/foreign-node.ts';
import { crsMetadata, keyHandles } from '../../helpers/foreign-vault.ts';
import { filesBelow } from '../../helpers/sealed-state.ts';

const set = await testKeySet(t);
const COMPRESSED = ['PublicKey', 'CompressedXofKeySet'] as const;
const onlySigned = { onlySigned: true } as const;

/** What lies in a folder, as a bucket. */
async function bucketOf(folder: string): Promise<Storage> {
  const storage = openMemoryStorage();
  for (const path of filesBelow(folder)) {
    await storage.put(path.slice(folder.length + 1).split('/'), new Uint8Array(readFileSync(path)));
  }
  return storage;
}

async function vaultOf({ privateFolder, publicFolder }: OldNode): Promise<ForeignVault> {
  const store = async (name: string, folder: string) =>
    bucketStore(name, { storage: await bucketOf(folder), stamp: async () => undefined });
  return new ForeignVault({
    secret: await store('old/PRIV', privateFolder),
    published: await store('old/PUB', publicFolder),
  });
}

/** The old node's key signs anew. */
function signedAs({ privateFolder, facts }: OldNode, extraData: Uint8Array | undefined): Uint8Array {
  using key = NodeKey.fromBytes(decodePrivateSigKey(readFileSync(join(privateFolder, 'SigningKey', SIGNING_KEY_ID))));
  const [publicKey, keySet] = facts.digests.map(([, digest]) => digest);
  const keyDigests = [
    { type: 'PublicKey', digest: publicKey ?? new Uint8Array() },
    { type: 'CompressedXofKeySet', digest: keySet ?? new Uint8Array() },
  ] as const;
  return key.signDigest(
    keygenDigest({ domain: DOMAIN, prepKeygenId: PREPROCESSING, keyId: KEY, keyDigests, extraData }, keccak256),
  );
}

async function refused(t: Test, old: OldNode, message: RegExp, more: object = {}): Promise<void> {
  const target = await newNode({ isEmpty: true });
  await t.rejects(takeOver(await vaultOf(old), target, { ...onlySigned, ...more }), { code: 'STATE_INVALID', message });
  t.same(await written(target), [], 'nothing was written');
}

t.test('what the node that moves in has signed comes in out of a bucket', async (t) => {
  const target = await newNode({ isEmpty: true });
  const done = await takeOver(await vaultOf(await oldNode(t, set, COMPRESSED)), target, onlySigned);
  t.equal(done.identity, 'adopted');
  t.match(await opened(target, set, 9n), { value: 9n, crs: [CRS] });
});

t.test('what a release without extra data has signed comes in as well', async (t) => {
  const old = await oldNode(t, set, COMPRESSED, { extraData: new Uint8Array() });
  const { extraData: _none, ...facts } = old.facts;
  const signature = signedAs(old, undefined);
  await old.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], keyHandles(set.key, { ...facts, signature }));
  const target = await newNode({ isEmpty: true });
  await takeOver(await vaultOf(old), target, onlySigned);
  t.match(await opened(target, set, 9n), { value: 9n, metadata: { externalSignature: signature } });
});

t.test('what somebody else has signed, or the node under another domain, is refused', async (t) => {
  const planted = await oldNode(t, set, COMPRESSED);
  using thief = NodeKey.generate();
  const signature = thief.signDigest(new Uint8Array(32).fill(1));
  await planted.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], keyHandles(set.key, { ...planted.facts, signature }));
  await refused(t, planted, /key a1a1.* is not signed by the address that moves in/);

  const withoutExtra = await oldNode(t, set, COMPRESSED);
  const other = { ...withoutExtra.facts, signature: signedAs(withoutExtra, undefined) };
  await withoutExtra.put(['FhePrivateKey', DEFAULT_EPOCH_ID, KEY], keyHandles(set.key, other));
  await refused(t, withoutExtra, /not signed/);

  await refused(t, await oldNode(t, set, COMPRESSED), /domain Other 1/, { domain: { ...DOMAIN, name: 'Other' } });

  const crs = await oldNode(t, set, COMPRESSED);
  const name = ['CrsInfo', DEFAULT_EPOCH_ID, CRS] as const;
  await crs.put(name, crsMetadata(CRS, new Uint8Array(32), 64, new Uint8Array(65).fill(7)));
  await refused(t, crs, /CRS c1c1.* is not signed/);
});

t.test('a public object that no signature covers is refused', async (t) => {
  const { address } = await oldNode(t, set, COMPRESSED);
  const metadata = {
    ...{ keyId: KEY, preprocessingId: PREPROCESSING, extraData: new Uint8Array(), signatures: [] },
    keyDigests: [{ type: 'CRS', digest: new Uint8Array(32) }] as const,
    externalSignature: new Uint8Array(65),
  };
  const uncovered = { code: 'STATE_INVALID', message: /names CRS, which no signature/ };
  t.throws(() => signedBefore(address, DOMAIN).keySet(metadata), uncovered);
});

t.test('public objects that are others at each reading are refused', async (t) => {
  const old = await oldNode(t, set, COMPRESSED);
  const published = await bucketOf(old.publicFolder);
  let readings = 0;
  /** The key set is right when it is compared with its digest, and another afterwards. */
  const open: Storage['open'] = async (path, ...rest) => {
    const opened = await published.open(path, ...rest);
    if (path[0] !== 'CompressedXofKeySet' || ++readings === 1) return opened;
    return { ...opened, stream: Readable.from([new Uint8Array(64)]) };
  };
  const source = new ForeignVault({
    secret: bucketStore('old/PRIV', { storage: await bucketOf(old.privateFolder), stamp: async () => undefined }),
    published: bucketStore('old/PUB', { storage: { ...published, open }, stamp: async () => undefined }),
  });
  const target = await newNode({ isEmpty: true });
  const changed = { code: 'ABORTED', message: /CompressedXofKeySet\/a1.* changed while it was imported/ };
  await t.rejects(takeOver(source, target, onlySigned), changed);
  t.same(await written(target), []);
});

t.test('a node with a signing key of its own signs nothing of another anew', async (t) => {
  const target = await newNode();
  const own = { code: 'ALREADY_EXISTS', message: /a signing key of its own/ };
  await t.rejects(takeOver(await vaultOf(await oldNode(t, set, COMPRESSED)), target, onlySigned), own);
  t.same(await written(target), []);
});

t.test('an object of a bucket that belongs to no epoch, and a bucket that holds nothing, are named', async (t) => {
  const old = await oldNode(t, set, COMPRESSED);
  await old.put(['FheKeyInfo', KEY], new Uint8Array(1));
  const target = await newNode();
  const cure = { code: 'REQUEST_INVALID', message: /old\/PRIV\/FheKeyInfo\/a1.* belongs to no epoch/ };
  await t.rejects(takeOver(await vaultOf(old), target), cure);
  const nothing = bucketStore('old/NONE', { storage: openMemoryStorage(), stamp: async () => undefined });
  const absent = { code: 'NOT_FOUND', message: /old\/NONE/ };
  await t.rejects(takeOver(new ForeignVault({ secret: nothing, published: nothing }), target), absent);
  await t.rejects(nothing.names([]), absent);
});
