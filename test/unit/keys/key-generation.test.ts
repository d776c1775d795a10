/** Dealt key sets of a quorum: the same public objects at all parties, shares that belong together, all or nobody. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { dealKeySet, generateCrs, openDecryption, partialDecrypt } from '../../../native/engine/index.ts';
import { CompressedKeyConfig, KeyGenSecretKeyConfig, KeySetType } from '../../../proto/gen/kms_pb.js';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { fromLittleEndian } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';
import { loadObjects } from '../../helpers/test-engine.ts';
import { TEST_NAMES, testMaskKeys } from '../../helpers/threshold-keys.ts';
import { dealCall } from './deal-calls.ts';
import { dealAtAll, dealingParties, heldIn, loadShares, oneByOne } from './dealing-parties.ts';

const KEY = parseRequestId(idOf(2));
const BIG_COMPRESSED = 2;
const EUINT64 = 5;

t.test('all parties make the same public objects, and their shares open what these encrypt', async (t) => {
  const parties = await dealingParties(t);
  const results = await dealAtAll(parties);
  const [first] = parties;
  const objects = present(first).objects;
  t.same(
    objects.map(({ type, id }) => [type, id]),
    [
      ['PublicKey', idOf(2)],
      ['CompressedXofKeySet', idOf(2)],
    ],
  );
  for (const { objects: others, party } of parties) {
    t.same(
      others.map(({ digest }) => digest),
      objects.map(({ digest }) => digest),
      `digests of party ${party}`,
    );
    t.ok(
      others.every(({ bytes }, i) => Buffer.compare(bytes, present(objects[i]).bytes) === 0),
      `bytes of party ${party}`,
    );
  }
  for (const result of results) {
    t.same(
      result.keyDigests.map(({ keyType, digest }) => [keyType, toHex(digest)]),
      objects.map(({ type, digest }) => [type, digest]),
    );
  }
  t.equal(new Set(results.map(({ externalSignature }) => toHex(externalSignature))).size, 4, 'each party signs itself');

  const evaluation = await loadObjects(
    t,
    objects.map(({ type, id, bytes }) => ({ type, id, bytes, replace: false, digest: new Uint8Array() })),
  );
  const value = 0xfeed_0123_4567_89abn;
  const item = {
    ciphertext: await evaluation.encrypt(value, EUINT64, BIG_COMPRESSED),
    fheType: EUINT64,
    format: BIG_COMPRESSED,
  };
  const contributions = new Map<number, Uint8Array>();
  for (const { party, catalogue } of parties) {
    const { shares, provenance, params } = catalogue.shares(DEFAULT_EPOCH_ID, KEY);
    t.same([provenance, params, shares.n, shares.t, shares.party], ['developer', 'test', 4, 1, party]);
    using masks = testMaskKeys(4, 1, party);
    contributions.set(party, present((await partialDecrypt({ shares, masks, ...TEST_NAMES, items: [item] }))[0]));
  }
  const opened = await openDecryption({ n: 4, t: 1, fheType: EUINT64, format: BIG_COMPRESSED, contributions });
  t.equal(fromLittleEndian(present(opened).plaintext), value);
  t.same(opened?.liars, []);
});

t.test('larger quorums deal as well, each party its own shares of one sharing', async (t) => {
  for (const [n, threshold] of [
    [7, 2],
    [13, 4],
  ] as const) {
    const parties = await dealingParties(t, { n, t: threshold });
    await dealAtAll(parties);
    const held = parties.map(({ catalogue }) => catalogue.shares(DEFAULT_EPOCH_ID, KEY).shares);
    t.same(
      held.map((shares) => [shares.n, shares.t, shares.party]),
      parties.map(({ party }) => [n, threshold, party]),
    );
    t.equal(new Set(held.map(({ sharingId }) => toHex(sharingId))).size, 1);
    t.equal(new Set(parties.map(({ objects }) => objects.map(({ digest }) => digest).join(' '))).size, 1);
  }
});

t.test('shares come back from the vault with what was signed', async (t) => {
  const parties = await dealingParties(t);
  await dealAtAll(parties);
  for (const { vault, party, catalogue } of parties) {
    const again = await loadShares(vault, party);
    const [held] = again.keys();
    const before = catalogue.shares(DEFAULT_EPOCH_ID, KEY);
    t.same(held?.metadata, before.metadata);
    t.same(held?.shares.sharingId, before.shares.sharingId);
    t.same(held?.shares.tag, Buffer.from(idOf(2), 'hex'), 'the tag is the id');
    again.dispose();
  }
});

t.test('an uncompressed key set has a server key', async (t) => {
  const parties = await dealingParties(t);
  const standardKeysetConfig = { compressedKeyConfig: CompressedKeyConfig.CompressedNone };
  await dealAtAll(parties, dealCall({ keysetConfig: { keysetType: KeySetType.Standard, standardKeysetConfig } }));
  for (const { objects } of parties) {
    t.same(
      objects.map(({ type }) => type),
      ['ServerKey', 'PublicKey'],
    );
  }
});

t.test('keys of other ids, and of the same id in another quorum, have other secrets', async (t) => {
  const [one, two] = [await dealingParties(t), await dealingParties(t)];
  const results = [
    ...(await dealAtAll(one)),
    ...(await dealAtAll(one, dealCall({ requestId: { requestId: idOf(7) } }))),
    ...(await dealAtAll(two)),
  ];
  const publicKeys = results.map(({ keyDigests }) => toHex(present(keyDigests[0]).digest));
  t.equal(new Set(publicKeys).size, 3);
});

t.test('two keys that are asked for in another order at each party are both made', async (t) => {
  const parties = await dealingParties(t);
  const [a, b] = [dealCall({ requestId: { requestId: idOf(21) } }), dealCall({ requestId: { requestId: idOf(22) } })];
  const calls = parties.flatMap(({ call, handlers, party }) =>
    (party % 2 ? [a, b] : [b, a]).map((body) => call(handlers.keyGen, body)),
  );
  await Promise.all(calls);
  for (const party of parties) t.same(await heldIn(party, 'FheKeyInfo'), [idOf(21), idOf(22)]);
});

t.test('parties that are asked for different things under one id make nothing', async (t) => {
  const parties = await dealingParties(t);
  for (const [what, other] of [
    ['extra data', { extraData: Uint8Array.of(1) }],
    [
      'domain',
      { domain: { name: 'n', version: '1', chainId: Uint8Array.of(1), verifyingContract: `0x${'11'.repeat(20)}` } },
    ],
    [
      'layout',
      {
        keysetConfig: {
          keysetType: KeySetType.Standard,
          standardKeysetConfig: { compressedKeyConfig: CompressedKeyConfig.CompressedNone },
        },
      },
    ],
  ] as const) {
    const calls = parties.map(({ call, handlers, party }) =>
      call(handlers.keyGen, party === 3 ? dealCall(other) : dealCall()),
    );
    for (const { reason } of await rejected(calls)) t.match(reason, { code: 'ABORTED' }, what);
    for (const party of parties) t.same([party.objects, await heldIn(party, 'FheKeyInfo')], [[], []]);
  }
});

t.test('nobody keeps a key unless all have the same public objects', async (t) => {
  const odd = oneByOne(async (options: Parameters<typeof dealKeySet>[0]) => {
    const seed = Uint8Array.from(options.seed, (byte) => byte ^ 1);
    return await dealKeySet({ ...options, seed });
  });
  const changed = new Map([[2, { native: { dealKeySet: odd, generateCrs } }]]);
  const parties = await dealingParties(t, { changed });
  const failures = await rejected(parties.map(({ call, handlers }) => call(handlers.keyGen, dealCall())));
  for (const { reason } of failures) t.match(reason, { code: 'ABORTED', message: /same public objects.*same release/ });
  for (const party of parties) {
    t.same(await heldIn(party, 'FheKeyInfo'), []);
    t.same(party.catalogue.keys(), []);
  }
});

t.test('an abort in any phase makes nothing at that party, and names it as aborted or cancelled', async (t) => {
  for (const phase of ['meeting', 'generating', 'storing', 'agreeing']) {
    const parties = await dealingParties(t);
    const aborts = parties.map(() => new AbortController());
    const calls = parties.map(({ call, handlers }, i) => {
      const { signal } = present(aborts[i]);
      const onReport = (at: string) => at === phase && present(aborts[i]).abort();
      return call(handlers.keyGen, dealCall(), { signal, onReport });
    });
    for (const { reason } of await rejected(calls)) t.match(reason, { code: /^(ABORTED|CANCELLED)$/ }, phase);
    for (const party of parties) t.same(await heldIn(party, 'FheKeyInfo'), [], phase);
  }
});

t.test('a Core that cannot store an object fails the generation', async (t) => {
  const parties = await dealingParties(t);
  const aborts = new AbortController();
  const calls = parties.map(({ call, handlers, party }) =>
    call(handlers.keyGen, dealCall(), {
      signal: aborts.signal,
      onObject: () => {
        if (party === 4) throw new KmsError('STORAGE_FULL', 'no room');
      },
    }),
  );
  await t.rejects(present(calls[3]), { code: 'STORAGE_FULL' });
  aborts.abort();
  await Promise.allSettled(calls);
  for (const party of parties) t.same(await heldIn(party, 'FheKeyInfo'), []);
});

t.test('an id is used once', async (t) => {
  const parties = await dealingParties(t);
  await dealAtAll(parties);
  for (const { reason } of await rejected(parties.map(({ call, handlers }) => call(handlers.keyGen, dealCall())))) {
    t.match(reason, { code: 'ALREADY_EXISTS' });
  }
});

t.test('what is not the insecure form, not developer mode, or not a fresh key set does not exist', async (t) => {
  const [party] = await dealingParties(t);
  const [production] = await dealingParties(t, {
    changed: new Map([[1, { insecureOperations: false, testParameters: false }]]),
  });
  const { call, handlers } = present(party);
  await t.rejects(call(handlers.keyGen, dealCall({}, false)), { code: 'UNIMPLEMENTED', message: /distributed/ });
  const real = present(production);
  await t.rejects(real.call(real.handlers.keyGen, dealCall()), { code: 'UNIMPLEMENTED', message: /developer mode/ });
  await t.rejects(real.call(real.handlers.keyGen, dealCall({}, false)), { code: 'UNIMPLEMENTED' });
  const useExisting = {
    keysetConfig: {
      keysetType: KeySetType.Standard,
      standardKeysetConfig: { secretKeyConfig: KeyGenSecretKeyConfig.UseExisting },
    },
    keysetAddedInfo: { existingKeysetId: { requestId: idOf(1) } },
  };
  await t.rejects(call(handlers.keyGen, dealCall(useExisting)), { code: 'UNIMPLEMENTED', message: /fresh/ });
  const decompression = {
    keysetConfig: { keysetType: KeySetType.DecompressionOnly },
    keysetAddedInfo: {
      fromKeysetIdDecompressionOnly: { requestId: idOf(1) },
      toKeysetIdDecompressionOnly: { requestId: idOf(4) },
    },
  };
  await t.rejects(call(handlers.keyGen, dealCall(decompression)), { code: 'UNIMPLEMENTED' });
  for (const body of [new Uint8Array([255]), dealCall().subarray(0, 40), dealCall({ requestId: { requestId: 'x' } })]) {
    await t.rejects(call(handlers.keyGen, body), { code: 'REQUEST_INVALID' });
  }
  await t.rejects(call(handlers.keyGen, dealCall({ epochId: { requestId: idOf(5) } })), { code: 'NOT_FOUND' });
  await t.rejects(call(handlers.keyGen, dealCall({ contextId: { requestId: idOf(5) } })), { code: 'NOT_FOUND' });
});

async function rejected(calls: readonly Promise<unknown>[]): Promise<readonly PromiseRejectedResult[]> {
  const results = await Promise.allSettled(calls);
  return results.map((result) => {
    if (result.status === 'fulfilled') throw new Error('it was done');
    return result;
  });
}
