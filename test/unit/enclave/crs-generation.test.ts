/** CRS generation through the link: what is signed, stored and refused. */
import { createHash } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../../common/bytes.ts';
import { type CrsGenRequestSchema, CrsGenResultSchema, SigningSchemeType } from '../../../proto/gen/kms_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { type Fields, idOf } from '../../helpers/requests.ts';
import { crsGenCall, describe, keyGenCall, testEngine } from '../../helpers/test-engine.ts';

async function generate(link: EngineTestLink, overrides: Fields<typeof CrsGenRequestSchema> = {}) {
  return fromBinary(CrsGenResultSchema, await link.call(ENGINE_METHOD.crsGen, crsGenCall(overrides)));
}

t.test('a CRS is stored, signed with what it can really do, and the same after a restart', async (t) => {
  const first = await testEngine(t);
  const link = await first.link();
  const result = await generate(link, { maxNumBits: 1, signingSchemes: [SigningSchemeType.MLDSA65] });
  const [object] = link.objects;
  t.same([object?.type, object?.id, object?.replace], ['CRS', idOf(3), false]);
  const stored = object?.bytes ?? new Uint8Array();
  const digest = createHash('shake256', { outputLength: 32 }).update('PDAT_CRS').update(stored).digest();
  t.equal(toHex(result.crsDigest), digest.toString('hex'));
  t.equal(result.maxNumBits, 4, 'what the CRS can do: slots of four bits');
  t.same(
    result.signatures.map(({ scheme, signature }) => [scheme, signature.byteLength]),
    [[3, 3309]],
  );
  const signer = await recoverTypedDataAddress({
    domain: {
      name: 'Authorization token',
      version: '1',
      chainId: 8006,
      verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
    },
    types: {
      CrsgenVerification: [
        { name: 'crsId', type: 'uint256' },
        { name: 'maxBitLength', type: 'uint256' },
        { name: 'crsDigest', type: 'bytes' },
        { name: 'extraData', type: 'bytes' },
      ],
    },
    primaryType: 'CrsgenVerification',
    message: {
      crsId: 3n,
      maxBitLength: BigInt(result.maxNumBits),
      crsDigest: `0x${toHex(result.crsDigest)}`,
      extraData: '0x',
    },
    signature: `0x${toHex(result.externalSignature)}`,
  });
  t.equal(signer, formatAddress((await describe(link)).address));
  await first.stop();

  const again = await (await testEngine(t, { folder: first.folder })).link();
  const { crs } = await describe(again);
  t.same(
    crs.map((entry) => [entry.crsId, entry.epochId, entry.result]),
    [[idOf(3), DEFAULT_EPOCH_ID, result]],
  );
  await t.rejects(generate(again), { code: 'ALREADY_EXISTS' });
});

t.test('sizes are powers of two up to 2048', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  for (const maxNumBits of [0, 3, 100, 4096]) {
    await t.rejects(generate(link, { maxNumBits }), { code: 'REQUEST_INVALID' }, `${maxNumBits}`);
  }
});

t.test('a CRS waits for the generation before it, and makes nothing once aborted', async (t) => {
  const { link: open, storage } = await testEngine(t);
  const link = await open();
  const held = Promise.withResolvers<void>();
  const key = link.call(ENGINE_METHOD.keyGen, keyGenCall(), { onObject: () => held.promise });
  const abort = new AbortController();
  const phases: string[] = [];
  const call = link.call(ENGINE_METHOD.crsGen, crsGenCall(), {
    signal: abort.signal,
    onProgress: ({ phase }) => {
      phases.push(phase);
      abort.abort();
    },
  });
  await t.rejects(call, { code: 'ABORTED' });
  held.resolve();
  await key;
  t.same(phases, ['queued']);
  t.same(await storage.list(['CrsInfo']), []);
  t.notOk(link.objects.some(({ type }) => type === 'CRS'));
});
