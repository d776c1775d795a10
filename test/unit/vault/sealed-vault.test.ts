/**
 * A sealed vault over any storage: first start, start from an empty disk, what is refused by name, and who serves.
 */
import t from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { KmsError } from '../../../common/errors.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import type { OpenedVault } from '../../../enclave/vault/open-vault.ts';
import type { PrivatePath } from '../../../enclave/vault/private-vault.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { parseRequestId, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { charterOf, MAINNET } from '../attestation/governance/fixtures.ts';
import { fencedMemory, openVault, setClock, startVault } from './sealed-scene.ts';

const EPOCH = parseRequestId('0'.repeat(63).concat('1'));
const KEY = parseRequestId('0'.repeat(63).concat('2'));
const SHARES: PrivatePath = ['FheKeyInfo', EPOCH, KEY];
const bytes = (...values: number[]) => Uint8Array.from(values);
const addressOf = ({ key }: OpenedVault) => present(key).address;
const read = (vault: OpenedVault, path: PrivatePath) => vault.vault.read(path, (content) => [...content]);

/** Copies what a storage holds. */
async function copyOf(from: Storage, folder: readonly string[] = [], into = fencedMemory()): Promise<Storage> {
  for (const name of await from.list(folder)) {
    const path = [...folder, name];
    if (await from.has(path)) await into.put(path, await from.get(path));
    else await copyOf(from, path, into);
  }
  return into;
}

t.test('an empty storage gets a key of its own, and the next start finds it and counts on', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  t.equal(await first.incarnation(), 1);
  await first.vault.put(SHARES, bytes(1, 2, 3));
  await first.close();
  const second = await openVault(t, { storage, address: addressOf(first) });
  t.equal(await second.incarnation(), 2);
  t.same(addressOf(second), addressOf(first), 'the same node');
  t.same(await read(second, SHARES), [1, 2, 3]);
  t.same(await second.vault.list('FheKeyInfo'), [SHARES]);
  t.same(await second.vault.listNode('SigningKey'), [SIGNING_KEY_ID]);
});

t.test('objects are written once, replaced on demand, and gone when they are removed', async (t) => {
  const { vault } = await openVault(t, { storage: fencedMemory() });
  t.equal(vault.keychainName, 'clear');
  await vault.put(SHARES, bytes(1));
  await vault.put(SHARES, bytes(1));
  await t.rejects(vault.put(SHARES, bytes(2)), { code: 'ALREADY_EXISTS' });
  await vault.put(SHARES, bytes(2), { replace: true });
  t.same(await vault.read(SHARES, (content) => [...content]), [2]);
  t.equal(await vault.delete(SHARES), true);
  t.equal(await vault.delete(SHARES), false);
  t.equal(await vault.has(SHARES), false);
  t.same(await vault.list('FheKeyInfo'), []);
  await t.rejects(
    vault.read(SHARES, () => undefined),
    { code: 'NOT_FOUND' },
  );
  await vault.checkKinds();
});

t.test('writers of one name take turns, and all of them count', async (t) => {
  const { vault, sealed } = await openVault(t, { storage: fencedMemory() });
  const path = ['Governance', SIGNING_KEY_ID] as const;
  await Promise.all([1, 2, 3, 4].map((value) => vault.put(path, bytes(value), { replace: true })));
  t.same(await vault.read(path, (content) => [...content]), [4]);
  t.equal(sealed?.head.entry(path.join('/'))?.version, 4);
});

t.test('nothing in the storage is in clear but names', async (t) => {
  const storage = fencedMemory();
  const rootKey = async () => ({ keyring: otherKeyring(), policyHash: undefined, wrapsForAnyone: false });
  const opened = await openVault(t, { storage, rootKey });
  const secret = present(opened.key).secretBytes();
  const words = new TextEncoder().encode('the shares of a key, which nobody may read');
  await opened.vault.put(SHARES, words);
  for (const name of await storage.list([])) {
    const all = await everything(storage, [name]);
    t.notOk(
      all.some((content) => Buffer.from(content).includes(Buffer.from(words))),
      `${name} holds no share`,
    );
    t.notOk(
      all.some((content) => Buffer.from(content).includes(Buffer.from(secret))),
      `${name} holds no key`,
    );
  }
  secret.fill(0);
});

t.test('ten replacements that start together: one serves, the others say who does and since when', async (t) => {
  const storage = fencedMemory();
  const clock = setClock();
  const first = await openVault(t, { storage, clock });
  const address = addressOf(first);
  await first.close();
  const starts = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) => openVault(t, { storage, address, clock, instance: `i-${i + 10}` })),
  );
  const serving = starts.filter((start) => start.status === 'fulfilled');
  t.equal(serving.length, 1);
  for (const start of starts) {
    if (start.status === 'fulfilled') t.equal(await start.value.incarnation(), 2);
    else {
      const message = /^party 1 is served by i-1\d-enc[0-9a-f]{8} since 20\d\d-.*: this engine does not serve/;
      t.match(start.reason, { code: 'ABORTED', message });
    }
  }
});

t.test('ten first starts that come together make one node and not two', async (t) => {
  for (const withLease of [true, false]) {
    const storage = withLease ? fencedMemory() : withoutLease(fencedMemory());
    const starts = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => openVault(t, { storage, instance: `i-${i + 10}` })),
    );
    const serving = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    t.equal(serving.length, 1, withLease ? 'with the lease' : 'with the manifest alone');
    const next = await openVault(t, { storage: await copyOf(storage), instance: 'i-10', clock: setClock(2e12) });
    t.same(addressOf(next), addressOf(present(serving[0])), 'the node that served');
    const message = withLease ? /is served by i-1\d-enc/ : /another server of party 1 has taken over/;
    for (const start of starts) if (start.status === 'rejected') t.match(start.reason, { code: 'ABORTED', message });
  }
});

t.test('who was replaced is told once, and writes nothing more', async (t) => {
  const storage = fencedMemory();
  const lost: KmsError[] = [];
  const first = await openVault(t, { storage, onLost: (why) => void lost.push(why) });
  await first.vault.put(SHARES, bytes(1));
  // A start of the same instance need not wait for the lease.
  const second = await openVault(t, { storage });
  for (const value of [2, 3]) {
    await t.rejects(first.vault.put(SHARES, bytes(value), { replace: true }), { code: 'ABORTED' });
  }
  t.match(lost, [{ code: 'ABORTED', message: /another server of this party has taken over/ }], 'once');
  t.same(await read(second, SHARES), [1]);
  const idle: KmsError[] = [];
  const third = await openVault(t, { storage, onLost: (why) => void idle.push(why) });
  await openVault(t, { storage });
  await t.rejects(present(third.sealed).head.check(), { code: 'ABORTED' });
  t.equal(idle.length, 1, 'also one that only looked');
});

t.test('a replacement waits for a holder that has died, and not for one that lives', async (t) => {
  const storage = fencedMemory();
  const clock = setClock();
  await openVault(t, { storage, clock, instance: 'i-1' });
  const slept: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    clock.forward(ms);
  };
  const second = await openVault(t, { storage, clock, instance: 'i-2', sleep });
  t.equal(await second.incarnation(), 2);
  t.same(slept, [15_001], 'as long as the lease holds');
});

t.test('manifest and objects come and go together', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  await first.close();
  const address = addressOf(first);

  const noHead = await copyOf(storage);
  await noHead.delete(['Manifest', 'head']);
  await t.rejects(openVault(t, { storage: noHead, address }), {
    code: 'STATE_INVALID',
    message: /FheKeyInfo.* but no manifest/,
  });

  const noKey = await copyOf(storage);
  for (const place of await noKey.list(['SigningKey', SIGNING_KEY_ID])) {
    await noKey.delete(['SigningKey', SIGNING_KEY_ID, place]);
  }
  await t.rejects(openVault(t, { storage: noKey, address }), {
    code: 'STATE_INVALID',
    message: /names SigningKey\/.*, but it is not there/,
    facts: { fault: 'no-signing-key' },
  });

  const noShares = await copyOf(storage);
  for (const place of await noShares.list(SHARES)) await noShares.delete([...SHARES, place]);
  const opened = await openVault(t, { storage: noShares, address });
  t.same(await opened.vault.list('FheKeyInfo'), [SHARES], 'the manifest says what there has to be');
  await t.rejects(
    opened.vault.read(SHARES, () => undefined),
    { code: 'STATE_INVALID', message: /FheKeyInfo\/.* cannot be used: the manifest names it, but it is not there/ },
  );

  const junk = await copyOf(storage);
  await junk.put(['Manifest', 'head'], bytes(1, 2, 3), { replace: true });
  await t.rejects(openVault(t, { storage: junk, address }), { code: 'STATE_INVALID', facts: { fault: 'malformed' } });
});

t.test('a vault that is gone is never made anew once governance has named its node', async (t) => {
  const { key } = await openVault(t, { storage: fencedMemory() });
  const address = present(key).address;
  await t.rejects(openVault(t, { storage: fencedMemory(), address }), {
    code: 'STATE_INVALID',
    message: /the private vault is empty, and the governed record names 0x.*: restore the vault from a backup/,
  });
  const empty = fencedMemory();
  const found = await startVault(t, { storage: empty, address, hasBackup: true });
  t.match('lost' in found && found.lost, { address });
  t.same(
    (await empty.list([])).filter((name) => name !== 'Manifest'),
    [],
    'nothing was written',
  );
  t.same(await empty.list(['Manifest']), ['lease']);
});

t.test('the vault of another node, charter or party is refused by name', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.close();
  const stranger = addressOf(await openVault(t, { storage: fencedMemory() }));
  const other = {
    code: 'STATE_INVALID',
    message: /that of 0x.*, and the governed record names 0x/,
    facts: { fault: 'other-node' },
  };
  await t.rejects(openVault(t, { storage: await copyOf(storage), address: stranger }), other);
  const planted = await copyOf(storage);
  const anyone = async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: true });
  await t.rejects(openVault(t, { storage: planted, rootKey: anyone }), {
    code: 'STATE_INVALID',
    facts: { fault: 'not-enrolled' },
  });
  await t.resolves(openVault(t, { storage: planted, rootKey: anyone, address: addressOf(first) }));
  const second = charterOf({ party: 2 });
  const parties = [{ party: 2, address: addressOf(first) }];
  await t.rejects(
    openVault(t, {
      storage: await copyOf(storage),
      record: { parties, network: MAINNET },
      change: { charter: second },
    }),
    { code: 'STATE_INVALID', message: /sealed under another charter.*sealed by another party/ },
  );
});

t.test('an older state of the vault opens under no newer head', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  const old = await storage.get(['Manifest', 'head']);
  await first.vault.put(SHARES, bytes(2), { replace: true });
  await first.close();
  await storage.put(['Manifest', 'head'], old, { replace: true });
  const rolledBack = await openVault(t, { storage, address: addressOf(first) });
  // Who has nobody to ask cannot tell; what is left of the newer state is of no use to it, and the older is gone.
  await t.rejects(
    rolledBack.vault.read(SHARES, () => undefined),
    { code: 'STATE_INVALID' },
  );
});

t.test('a state that the operator wrote down is the oldest that opens', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  const old = await copyOf(storage);
  await first.vault.put(SHARES, bytes(1));
  const remembered = present(present(first.sealed).head.point);
  await first.close();
  const newer = await openVault(t, { storage, remembered });
  t.same(await read(newer, SHARES), [1], 'the state itself, and what follows it');
  await t.rejects(openVault(t, { storage: old, remembered }), {
    code: 'STATE_INVALID',
    facts: { fault: 'rolled-back' },
  });
  const none = fencedMemory();
  await t.rejects(openVault(t, { storage: none, remembered }), {
    code: 'STATE_INVALID',
    facts: { fault: 'rolled-back' },
  });
  t.same(await none.list([]), ['Manifest'], 'no key was made');
  const fork = { ...remembered, sequence: present(present(newer.sealed).head.point).sequence };
  await t.rejects(openVault(t, { storage, remembered: fork }), { code: 'STATE_INVALID', facts: { fault: 'forked' } });
});

t.test('a lease that nobody can have written keeps nobody out', async (t) => {
  const clock = setClock();
  const note = (fields: object) => encodeCanonical(['arca-lease', new Map(Object.entries(fields))]);
  const good = { holder: 'i-9-enc1', since: clock.nowMs(), token: new Uint8Array(16), until: clock.nowMs() + 10_000 };
  const junk = [
    bytes(1, 2, 3),
    new Uint8Array(600),
    note({ ...good, until: clock.nowMs() + 86_400_000 }),
    note({ ...good, until: 'soon' }),
    note({ ...good, holder: 'i-9 <b>' }),
    note({ ...good, since: -1 }),
    encodeCanonical(['arca-lease', 1]),
  ];
  for (const content of junk) {
    const storage = fencedMemory();
    await storage.put(['Manifest', 'lease'], content);
    await t.resolves(openVault(t, { storage, clock }), `junk ${junk.indexOf(content)}`);
  }
  const storage = fencedMemory();
  await storage.put(['Manifest', 'lease'], note(good));
  await t.rejects(
    openVault(t, { storage, clock }),
    { code: 'ABORTED', message: /served by i-9-enc1 since/ },
    'a good one does',
  );
});

t.test('what is missing before there is a vault is named', async (t) => {
  const storage = fencedMemory();
  const message = /no governed record in the node's files/;
  await t.rejects(openVault(t, { storage, change: { record: undefined } }), { code: 'STATE_INVALID', message });
  await t.rejects(openVault(t, { storage, change: { releases: undefined } }), { message: /no release set/ });
  await t.rejects(openVault(t, { storage, record: { parties: [{ party: 2 }] } }), { message: /names no party 1/ });
  await t.rejects(openVault(t, { storage: openMemoryStorage() }), {
    code: 'CONFIG_INVALID',
    message: /conditional writes/,
  });
  t.same(await storage.list([]), [], 'and nothing was written');
});

t.test('that a root key cannot be used says nothing about the objects', async (t) => {
  const storage = fencedMemory();
  const first = await openVault(t, { storage });
  await first.vault.put(SHARES, bytes(1));
  await first.close();
  const denied = new KmsError('PERMISSION_DENIED', 'Decrypt: AWS KMS refuses this engine the key: PCR0 differs');
  let isDown = false;
  const keyring = clearKeyring();
  const unwrap: typeof keyring.unwrap = async (...args) => {
    if (isDown) throw denied;
    return await keyring.unwrap(...args);
  };
  const rootKey = async () => ({ keyring: { ...keyring, unwrap }, policyHash: undefined, wrapsForAnyone: false });
  const second = await openVault(t, { storage, rootKey, address: addressOf(first) });
  isDown = true;
  await t.rejects(
    second.vault.read(SHARES, () => undefined),
    denied,
    'as it is, not as a damaged object',
  );
});

/** As the clear keyring, but without the data key beside the object. */
function otherKeyring() {
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  const inner = clearKeyring();
  return {
    ...inner,
    name: 'hidden',
    generate: async (binding: Parameters<typeof inner.generate>[0]) => {
      const { dataKey } = await inner.generate(binding);
      keys.set(String(keys.size), Uint8Array.from(dataKey));
      return { dataKey, wrapped: { keyId: 'hidden', blob: Buffer.from(String(keys.size - 1)) } };
    },
    unwrap: async ({ blob }: { blob: Uint8Array }) => Uint8Array.from(present(keys.get(Buffer.from(blob).toString()))),
  };
}

async function everything(storage: Storage, folder: readonly string[]): Promise<Uint8Array[]> {
  if (await storage.has(folder)) return [await storage.get(folder)];
  const found: Uint8Array[] = [];
  for (const name of await storage.list(folder)) found.push(...(await everything(storage, [...folder, name])));
  return found;
}

/** Takes every lease and remembers none: what keeps servers apart is the manifest alone. */
function withoutLease(storage: Storage): Storage {
  const isLease = (path: readonly string[]): boolean => path[1] === 'lease';
  return {
    ...storage,
    swap: async (path, ...rest) => (isLease(path) ? 'tag' : await storage.swap(path, ...rest)),
    getTagged: async (path) => {
      if (isLease(path)) throw new KmsError('NOT_FOUND', 'no such object');
      return await storage.getTagged(path);
    },
  };
}
