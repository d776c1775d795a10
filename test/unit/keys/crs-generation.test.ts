/** CRSs of a quorum: the same at all parties, signed by each, kept by all or by nobody. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { dealKeySet, type generateCrs } from '../../../native/engine/index.ts';
import { NativeBytes } from '../../../native/engine/native-bytes.ts';
import { SigningSchemeType } from '../../../proto/gen/kms_pb.js';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';
import { dealCall, dealCrsCall } from './deal-calls.ts';
import { crsAtAll, type DealingOptions, dealingParties, heldIn, loadShares } from './dealing-parties.ts';

/** In place of 2 s of work: bytes that the seed determines. */
const quick: typeof generateCrs = async ({ maxNumBits, seed }) => {
  const content = createHash('sha256').update(present(seed)).update(String(maxNumBits)).digest();
  const digest = async (tag: Uint8Array) => createHash('sha256').update(tag).update(content).digest();
  const chunk = (offset: number, size: number) => Uint8Array.from(content.subarray(offset, offset + size));
  return { bytes: new NativeBytes({ size: content.byteLength, chunk, digest, dispose: () => undefined }), maxNumBits };
};
const QUICK: DealingOptions = {
  changed: new Map([1, 2, 3, 4].map((i) => [i, { native: { dealKeySet, generateCrs: quick } }])),
};

t.test('all parties make the same CRS and sign what it can really do', async (t) => {
  const parties = await dealingParties(t);
  const results = await crsAtAll(parties, dealCrsCall({ maxNumBits: 1, signingSchemes: [SigningSchemeType.MLDSA65] }));
  const [first] = parties;
  const [made] = present(first).objects;
  t.same([made?.type, made?.id], ['CRS', idOf(3)]);
  for (const [i, { objects, vault, party, catalogue }] of parties.entries()) {
    t.equal(objects.length, 1);
    t.ok(Buffer.compare(present(objects[0]).bytes, present(made).bytes) === 0, `bytes of party ${party}`);
    const result = present(results[i]);
    t.same([toHex(result.crsDigest), result.maxNumBits], [made?.digest, 4]);
    t.same(
      result.signatures.map(({ scheme }) => scheme),
      [SigningSchemeType.MLDSA65],
    );
    const again = await loadShares(vault, party);
    t.same(again.crs(), catalogue.crs(), 'kept in the vault');
    again.dispose();
  }
  t.equal(new Set(results.map(({ externalSignature }) => toHex(externalSignature))).size, 4, 'each party signs itself');
});

t.test('another quorum makes another CRS of the same id', async (t) => {
  const digests: string[] = [];
  for (let i = 0; i < 2; i++) {
    const [result] = await crsAtAll(await dealingParties(t, QUICK));
    digests.push(toHex(present(result).crsDigest));
  }
  t.not(digests[0], digests[1]);
});

t.test('nobody keeps a CRS unless all have the same one, or asked for the same', async (t) => {
  const odd: typeof generateCrs = async (options) => {
    const seed = Uint8Array.from(present(options.seed), (byte) => byte ^ 1);
    return await quick({ ...options, seed });
  };
  const changed = new Map([...(QUICK.changed ?? []), [2, { native: { dealKeySet, generateCrs: odd } }]]);
  for (const [options, other] of [
    [{ changed }, dealCrsCall()],
    [QUICK, dealCrsCall({ maxNumBits: 128 })],
    [QUICK, dealCrsCall({ extraData: Uint8Array.of(0) })],
  ] as const) {
    const parties = await dealingParties(t, options);
    const calls = parties.map(({ call, handlers, party }) =>
      call(handlers.crsGen, party === 2 ? other : dealCrsCall()),
    );
    for (const result of await Promise.allSettled(calls)) t.match(result, { reason: { code: 'ABORTED' } });
    for (const party of parties) t.same([await heldIn(party, 'CrsInfo'), party.catalogue.crs()], [[], []]);
  }
});

t.test('an abort in any phase keeps nothing', async (t) => {
  for (const phase of ['meeting', 'generating', 'storing', 'agreeing']) {
    const parties = await dealingParties(t, QUICK);
    const calls = parties.map(({ call, handlers }) => {
      const abort = new AbortController();
      const onReport = (at: string) => at === phase && abort.abort();
      return call(handlers.crsGen, dealCrsCall(), { signal: abort.signal, onReport });
    });
    for (const result of await Promise.allSettled(calls)) {
      t.match(result, { reason: { code: /^(ABORTED|CANCELLED)$/ } }, phase);
    }
    for (const party of parties) t.same(await heldIn(party, 'CrsInfo'), [], phase);
  }
});

t.test('an id is used once; what is not insecure and developer mode does not exist', async (t) => {
  const parties = await dealingParties(t, QUICK);
  await crsAtAll(parties);
  const { call, handlers } = present(parties[0]);
  await t.rejects(call(handlers.crsGen, dealCrsCall()), { code: 'ALREADY_EXISTS' });
  await t.rejects(call(handlers.crsGen, dealCrsCall({ requestId: { requestId: idOf(4) } }, false)), {
    code: 'UNIMPLEMENTED',
    message: /distributed/,
  });
  for (const maxNumBits of [0, 3, 4096]) {
    await t.rejects(call(handlers.crsGen, dealCrsCall({ maxNumBits })), { code: 'REQUEST_INVALID' }, `${maxNumBits}`);
  }
  await t.rejects(call(handlers.crsGen, dealCrsCall({ epochId: { requestId: idOf(9) } })), { code: 'NOT_FOUND' });
  await t.rejects(call(handlers.crsGen, dealCall().subarray(0, 30)), { code: 'REQUEST_INVALID' });
  const [production] = await dealingParties(t, { changed: new Map([[1, { insecureOperations: false }]]) });
  const real = present(production);
  await t.rejects(real.call(real.handlers.crsGen, dealCrsCall()), { code: 'UNIMPLEMENTED', message: /developer mode/ });
});

t.test('a destroyed epoch takes keys and CRSs with it', async (t) => {
  const parties = await dealingParties(t, QUICK);
  await crsAtAll(parties);
  const epoch = parseRequestId(DEFAULT_EPOCH_ID);
  for (const party of parties) {
    await party.catalogue.forgetEpoch(epoch);
    t.same([party.catalogue.crs(), await heldIn(party, 'CrsInfo')], [[], []]);
  }
});
