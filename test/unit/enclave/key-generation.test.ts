/** Key generation through the link: every kind of keyset, what is signed and stored, and what goes wrong by name. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../../common/bytes.ts';
import type { Progress } from '../../../proto/gen/engine_pb.js';
import {
  FheParameter,
  KeyGenPreprocRequestSchema,
  KeyGenPreprocResultSchema,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { D0, idOf } from '../../helpers/requests.ts';
import { describe, keyGenCall, makeKey, testEngine } from '../../helpers/test-engine.ts';
import {
  DOMAIN,
  decompressionOnly,
  generate,
  idMessage,
  type KeyGenOverrides,
  opens,
  shake,
  uncompressed,
  useExisting,
} from './key-generation-calls.ts';

const KEY_TYPES: Record<string, number> = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 3 };

function recoverKeygenSigner(result: Awaited<ReturnType<typeof generate>>, extraData = '0x'): Promise<string> {
  return recoverTypedDataAddress({
    domain: DOMAIN,
    types: {
      KeygenVerification: [
        { name: 'prepKeygenId', type: 'uint256' },
        { name: 'keyId', type: 'uint256' },
        { name: 'keyDigests', type: 'KeyDigest[]' },
        { name: 'extraData', type: 'bytes' },
      ],
      KeyDigest: [
        { name: 'keyType', type: 'uint8' },
        { name: 'digest', type: 'bytes' },
      ],
    },
    primaryType: 'KeygenVerification',
    message: {
      prepKeygenId: BigInt(`0x${result.preprocessingId?.requestId}`),
      keyId: BigInt(`0x${result.requestId?.requestId}`),
      keyDigests: result.keyDigests.map(({ keyType, digest }) => ({
        keyType: KEY_TYPES[keyType] ?? 255,
        digest: `0x${toHex(digest)}` as const,
      })),
      extraData: extraData as `0x${string}`,
    },
    signature: `0x${toHex(result.externalSignature)}`,
  });
}

t.test('a preprocessing is checked and its id signed', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const request = create(KeyGenPreprocRequestSchema, { ...idMessage(900), params: FheParameter.test, domain: D0 });
  const body = toBinary(KeyGenPreprocRequestSchema, request);
  const result = fromBinary(KeyGenPreprocResultSchema, await link.call(ENGINE_METHOD.keyGenPreproc, body));
  t.equal(result.preprocessingId?.requestId, idOf(900));
  const signer = await recoverTypedDataAddress({
    domain: DOMAIN,
    types: {
      PrepKeygenVerification: [
        { name: 'prepKeygenId', type: 'uint256' },
        { name: 'extraData', type: 'bytes' },
      ],
    },
    primaryType: 'PrepKeygenVerification',
    message: { prepKeygenId: BigInt(`0x${idOf(900)}`), extraData: '0x' },
    signature: `0x${toHex(result.externalSignature)}`,
  });
  t.equal(signer, formatAddress((await describe(link)).address));
});

t.test('a compressed and an uncompressed key set decrypt, and their digests and signatures hold', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const address = formatAddress((await describe(link)).address);
  const kinds = [
    ['compressed', {}, ['PublicKey', 'CompressedXofKeySet']],
    ['uncompressed', uncompressed, ['ServerKey', 'PublicKey']],
  ] as const;
  for (const [i, [kind, overrides, types]] of kinds.entries()) {
    const extraData = Uint8Array.of(i, 1, 2);
    const { keyId, result, objects, evaluation } = await makeKey(t, link, {
      ...idMessage(10 + i),
      ...overrides,
      extraData,
      signingSchemes: [SigningSchemeType.ED25519, SigningSchemeType.ECDSA256K1],
    });
    t.equal(keyId, idOf(10 + i), `${kind}: id`);
    t.same(
      result.keyDigests.map(({ keyType }) => keyType),
      types,
      `${kind}: order of digests`,
    );
    t.same(objects.map(({ type }) => type).sort(), [...types].sort(), `${kind}: objects`);
    for (const { type, bytes, digest, replace } of objects) {
      t.same(digest, shake('PDAT_KEY', bytes), `${kind}: digest of ${type}`);
      t.same(digest, result.keyDigests.find(({ keyType }) => keyType === type)?.digest, `${kind}: result of ${type}`);
      t.notOk(replace, `${kind}: ${type} replaces nothing`);
    }
    t.equal(await recoverKeygenSigner(result, `0x${toHex(extraData)}`), address, `${kind}: signer`);
    t.same(
      result.signatures.map(({ signature }) => signature.byteLength),
      [64, 65],
      `${kind}: further signatures`,
    );
    t.equal(await opens(link, keyId, await evaluation.encrypt(200n, 5, 2)), 200, `${kind}: decrypts`);
  }
});

t.test('the parameters of the request override those of the preprocessing', async (t) => {
  const { link: open } = await testEngine(t, { testParameters: false });
  const link = await open();
  await t.rejects(generate(link), { code: 'PRECONDITION_FAILED' }, 'test parameters of the preprocessing');
  await t.rejects(generate(link, { params: FheParameter.test }), { code: 'PRECONDITION_FAILED' }, 'of the request');
  const { link: openDeveloper } = await testEngine(t);
  const developer = await openDeveloper();
  await generate(developer, idMessage(10));
  await t.rejects(
    generate(developer, { ...idMessage(20), ...useExisting(10), params: FheParameter.default }),
    { code: 'REQUEST_INVALID' },
    'an existing key keeps its parameters',
  );
});

t.test('requests that cannot run are refused by name', async (t) => {
  const { link: open } = await testEngine(t, { insecureOperations: false });
  const link = await open();
  await generate(link, idMessage(10));
  const objects = link.objects.length;
  const refused = [
    ['existing id', 'ALREADY_EXISTS', idMessage(10)],
    ['another preprocessing', 'REQUEST_INVALID', { ...idMessage(11), preprocId: { requestId: idOf(901) } }],
    ['unknown existing key', 'NOT_FOUND', { ...idMessage(11), ...useExisting(77) }],
    [
      'existing key of another epoch',
      'NOT_FOUND',
      { ...idMessage(11), ...useExisting(10), epochId: { requestId: idOf(8) } },
    ],
    ['unknown source of decompression', 'NOT_FOUND', { ...idMessage(11), ...decompressionOnly(77, 10) }],
    ['zero id', 'REQUEST_INVALID', idMessage(0)],
  ] satisfies [string, string, KeyGenOverrides][];
  for (const [why, code, overrides] of refused) await t.rejects(generate(link, overrides), { code }, why);
  await t.rejects(link.call(ENGINE_METHOD.keyGen, keyGenCall(idMessage(11), { insecure: true })), {
    code: 'UNIMPLEMENTED',
  });
  t.equal(link.objects.length, objects, 'nothing was streamed');
  t.same(
    (await describe(link)).keys.map(({ keyId, epochId, params }) => [keyId, epochId, params]),
    [[idOf(10), DEFAULT_EPOCH_ID, FheParameter.test]],
  );
});

t.test('progress is told, estimates are called so, and storing is counted', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const seen: Progress[] = [];
  await link.call(ENGINE_METHOD.keyGen, keyGenCall(), { onProgress: (progress) => seen.push(progress) });
  t.same([...new Set(seen.map(({ phase }) => phase))], ['generating', 'hashing', 'storing']);
  for (const { phase, estimated, fraction } of seen) {
    t.equal(estimated, phase !== 'storing', phase);
    t.ok(fraction >= 0 && fraction <= 1, `${phase} ${fraction}`);
  }
  t.same(
    seen.map(({ fraction }) => fraction),
    seen.map(({ fraction }) => fraction).sort((a, b) => a - b),
  );
});
