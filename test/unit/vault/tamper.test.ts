/**
 * A vault in S3 whose owner does what he likes with the bucket, and an S3 that fails: right data or a refusal by name, never wrong
 * data.
 */
import t, { type Test } from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import type { Fault, FaultPoint } from '../../../emulators/s3/faults.ts';
import { sealFaultsOf } from '../../../enclave/seal/seal-faults.ts';
import type { PrivatePath } from '../../../enclave/vault/private-vault.ts';
import type { ObjectPath, Storage } from '../../../storage/storage.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { startS3, type TestS3 } from '../../helpers/s3.ts';
import { charterOf, MAINNET } from '../attestation/governance/fixtures.ts';
import { openVault } from './sealed-scene.ts';

const id = (byte: string) => parseRequestId(byte.repeat(32));
const SHARES: PrivatePath = ['FheKeyInfo', id('e1'), id('c1')];
const OTHER_KEY: PrivatePath = ['FheKeyInfo', id('e1'), id('c2')];
const OTHER_EPOCH: PrivatePath = ['FheKeyInfo', id('e2'), id('c1')];
/** Goes up in three parts. */
const CONTENT = Buffer.alloc(3000, 'the newest content ');
const OLD = Buffer.alloc(3000, 'the content before ');

/** A bucket with a party's vault in it, and another party's beside. */
interface Bucket {
  readonly s3: TestS3;
  readonly raw: Storage;
  readonly address: Uint8Array;
  /** Where the one writing of an object lies. */
  place(path: PrivatePath): Promise<ObjectPath>;
  /** The writing of {@link SHARES} before the newest. */
  readonly old: Uint8Array;
  /** The head of the manifest that named it. */
  readonly oldHead: Uint8Array;
  /** The object of the same name of party 2. */
  readonly foreign: Uint8Array;
}

const HEAD: ObjectPath = ['Manifest', 'head'];

async function placeIn(storage: Storage, path: PrivatePath): Promise<ObjectPath> {
  const [name = '', ...more] = await storage.list([...path]);
  if (more.length > 0) throw new Error(`${path.join('/')} has ${more.length + 1} writings`);
  return [...path, name];
}

async function bucket(t: Test): Promise<Bucket> {
  const s3 = await startS3(t, { minPartBytes: 16 });
  const raw = await s3.open({ partBytes: 1024 });
  const first = await openVault(t, { storage: raw });
  await first.vault.put(SHARES, OLD);
  const [old, oldHead] = [await raw.get(await placeIn(raw, SHARES)), await raw.get(HEAD)];
  await first.vault.put(SHARES, CONTENT, { replace: true });
  for (const path of [OTHER_KEY, OTHER_EPOCH]) await first.vault.put(path, OLD);
  await first.close();

  const second = await s3.open({ prefix: 'PRIV-p2', partBytes: 1024 });
  const change = { charter: charterOf({ party: 2 }) };
  const theirs = await openVault(t, { storage: second, record: { parties: [{ party: 2 }], network: MAINNET }, change });
  await theirs.vault.put(SHARES, OLD);
  await theirs.close();
  return {
    s3,
    raw,
    address: present(first.key).address,
    place: (path) => placeIn(raw, path),
    old,
    oldHead,
    foreign: await second.get(await placeIn(second, SHARES)),
  };
}

/** What a server that starts now reads: `right`, or the name of its refusal; wrong data fails the test. */
async function outcome(t: Test, { address }: Bucket, storage: Storage): Promise<string> {
  try {
    const { vault, close } = await openVault(t, { storage, address });
    try {
      return await vault.read(SHARES, (content) => (CONTENT.equals(content) ? 'right' : 'WRONG DATA'));
    } finally {
      await close();
    }
  } catch (error) {
    if (!isKmsError(error)) throw error;
    const faults = sealFaultsOf(error).join(',');
    const fault = typeof error.facts.fault === 'string' ? error.facts.fault : '';
    return faults || fault || `${error.code}: ${error.message}`;
  }
}

async function removeAll(
  storage: Storage,
  keep: (path: ObjectPath) => boolean,
  folder: ObjectPath = [],
): Promise<void> {
  for (const name of await storage.list(folder)) {
    const path = [...folder, name];
    if (!(await storage.has(path))) await removeAll(storage, keep, path);
    else if (!keep(path)) await storage.delete(path);
  }
}

const replace = { replace: true } as const;

type Tampering = (bucket: Bucket) => Promise<unknown>;

const TAMPERINGS: readonly (readonly [string, Tampering, RegExp])[] = [
  ['nothing', async () => undefined, /^right$/],
  [
    'two objects exchanged',
    async ({ raw, place }) => {
      const [one, other] = [await place(SHARES), await place(OTHER_KEY)];
      const [first, second] = [await raw.get(one), await raw.get(other)];
      await raw.put(one, second, replace);
      await raw.put(other, first, replace);
    },
    /^other-name,other-key,rolled-back$/,
  ],
  [
    'one rolled back in its place',
    async ({ raw, place, old }) => await raw.put(await place(SHARES), old, replace),
    /^rolled-back$/,
  ],
  ['the manifest rolled back alone', async ({ raw, oldHead }) => await raw.put(HEAD, oldHead, replace), /^missing$/],
  ['cut', async ({ raw, place }) => await cut(raw, await place(SHARES), 100), /^cut$/],
  ['cut to nothing', async ({ raw, place }) => await cut(raw, await place(SHARES), 1e9), /^cut$/],
  [
    'extended',
    async ({ raw, place }) => {
      const at = await place(SHARES);
      await raw.put(at, Buffer.concat([await raw.get(at), Buffer.from('more')]), replace);
    },
    /^extended$/,
  ],
  [
    'duplicated beside itself and under another name',
    async ({ raw, place }) => {
      const bytes = await raw.get(await place(SHARES));
      await raw.put([...SHARES, '9-0123456789abcdef'], bytes);
      await raw.put(['FheKeyInfo', id('e1'), id('c9'), '1-0123456789abcdef'], bytes);
    },
    /^right$/,
  ],
  [
    'an older writing put beside it',
    async ({ raw, old }) => await raw.put([...SHARES, '1-0123456789abcdef'], old),
    /^right$/,
  ],
  ['deleted', async ({ raw, place }) => await raw.delete(await place(SHARES)), /^missing$/],
  ['all deleted', async ({ raw }) => await removeAll(raw, () => false), /^STATE_INVALID: the private vault is empty/],
  [
    'all deleted but the manifest',
    async ({ raw }) => await removeAll(raw, ([folder]) => folder === 'Manifest'),
    /^no-signing-key$/,
  ],
  ['the manifest deleted', async ({ raw }) => await raw.delete(HEAD), /^no-manifest$/],
  [
    "the other party's object in its place",
    async ({ raw, place, foreign }) => await raw.put(await place(SHARES), foreign, replace),
    /^other-charter,other-party,other-signer,rolled-back$/,
  ],
  [
    "the other epoch's object in its place",
    async ({ raw, place }) => await raw.put(await place(SHARES), await raw.get(await place(OTHER_EPOCH)), replace),
    /^other-name,other-epoch,rolled-back$/,
  ],
  [
    'a bit changed in the middle',
    async ({ raw, place }) => {
      const at = await place(SHARES);
      const bytes = await raw.get(at);
      bytes[bytes.length - 500] = (bytes[bytes.length - 500] ?? 0) ^ 4;
      await raw.put(at, bytes, replace);
    },
    /^damaged$/,
  ],
];

async function cut(storage: Storage, path: ObjectPath, by: number): Promise<void> {
  const bytes = await storage.get(path);
  await storage.put(path, bytes.subarray(0, Math.max(0, bytes.length - by)), replace);
}

t.test('whatever the owner of the bucket does: right data or a refusal by name', async (t) => {
  for (const [what, tamper, expected] of TAMPERINGS) {
    const scene = await bucket(t);
    await tamper(scene);
    t.match(await outcome(t, scene, scene.raw), expected, what);
  }
});

t.test('however S3 fails: right data or a refusal by name', async (t) => {
  const scene = await bucket(t);
  const { s3 } = scene;
  const isObject = ({ operation, key }: FaultPoint): boolean =>
    operation === 'GetObject' && key.includes(SHARES.join('/'));
  const isHead = ({ operation, key }: FaultPoint): boolean => operation === 'GetObject' && key.endsWith(HEAD.join('/'));
  const cases: readonly (readonly [string, (point: FaultPoint) => boolean, Fault, number, RegExp])[] = [
    ['500 once', isObject, { kind: 'error', code: 'InternalError' }, 1, /^right$/],
    ['500 always', isObject, { kind: 'error', code: 'InternalError' }, Infinity, /^UNAVAILABLE/],
    ['a stream that ends early, once', isObject, { kind: 'cut', afterBytes: 700 }, 1, /^right$/],
    ['a stream that always ends early', isObject, { kind: 'cut', afterBytes: 700 }, Infinity, /^UNAVAILABLE/],
    ['a stream that stands still', isObject, { kind: 'stall', afterBytes: 700 }, Infinity, /^UNAVAILABLE/],
    [
      'a bit changed on the way',
      isObject,
      { kind: 'corrupt', offset: 900 },
      Infinity,
      /came damaged: its checksum is another/,
    ],
    ['a stale head', isHead, { kind: 'stale' }, Infinity, /^ABORTED/],
    ['a head that is never read', isHead, { kind: 'reset' }, Infinity, /^UNAVAILABLE/],
  ];
  for (const [what, concerns, fault, times, expected] of cases) {
    const storage = await s3.open({ partBytes: 1024, attempts: 3, timeoutMs: 2000, bodyTimeoutMs: 300 });
    let hits = 0;
    s3.fault = (point) => (concerns(point) && hits++ < times ? fault : undefined);
    const found = await outcome(t, scene, storage);
    s3.fault = undefined;
    t.ok(hits > 0, `${what}: it came to it`);
    t.match(found, expected, what);
    t.equal(await outcome(t, scene, storage), 'right', `${what}: nothing is the worse for it`);
  }
});

t.test(
  'an upload that is never completed, or that S3 says it has and forgets, is not taken for a writing',
  async (t) => {
    const scene = await bucket(t);
    const { s3, raw, address } = scene;
    const storage = await s3.open({ partBytes: 1024, attempts: 2, timeoutMs: 2000 });
    const { vault, close } = await openVault(t, { storage, address });
    s3.fault = ({ operation }) => (operation === 'CompleteMultipartUpload' ? { kind: 'reset' } : undefined);
    await t.rejects(vault.put(SHARES, OLD, replace), { code: 'UNAVAILABLE' });
    s3.fault = undefined;
    t.ok(await vault.read(SHARES, (content) => CONTENT.equals(content)), 'the one before still counts');
    await close();
    t.equal(await outcome(t, scene, raw), 'right');

    const again = await openVault(t, { storage, address });
    s3.fault = ({ operation }) => (operation === 'CompleteMultipartUpload' ? { kind: 'forget' } : undefined);
    const lied = await again.vault.put(SHARES, OLD, replace).then(
      () => true,
      () => false,
    );
    s3.fault = undefined;
    await again.close();
    const found = await outcome(t, scene, raw);
    // Who believes a store that says it has what it has not finds out when it reads.
    t.match(found, lied ? /^missing$/ : /^right$/, String(lied));
  },
);
