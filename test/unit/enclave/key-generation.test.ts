/** Key generation through the link: every kind of keyset, what is signed and stored, and what goes wrong by name. */
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../../common/bytes.ts';
import type { Progress } from '../../../proto/gen/engine_pb.js';
import {
  CompressedKeyConfig,
  FheParameter,
  KeyGenPreprocRequestSchema,
  KeyGenPreprocResultSchema,
  type KeyGenRequestSchema,
  KeyGenResultSchema,
  KeyGenSecretKeyConfig,
  type KeySetAddedInfoSchema,
  KeySetType,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { D0, type Fields, handleOf, idOf, publicDecryptionRequest } from '../../helpers/requests.ts';
import { describe, keyGenCall, loadObjects, makeKey, testEngine } from '../../helpers/test-engine.ts';

type KeyGenOverrides = Fields<typeof KeyGenRequestSchema>;

const DOMAIN = {
  name: 'Authorization token',
  version: '1',
  chainId: 8006,
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
} as const;
const KEY_TYPES: Record<string, number> = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 3 };

const uncompressed = {
  keysetConfig: {
    keysetType: KeySetType.Standard,
    standardKeysetConfig: { compressedKeyConfig: CompressedKeyConfig.CompressedNone },
  },
} satisfies KeyGenOverrides;

const useExisting = (existing: number, added: Fields<typeof KeySetAddedInfoSchema> = {}) =>
  ({
    keysetConfig: {
      keysetType: KeySetType.Standard,
      standardKeysetConfig: { secretKeyConfig: KeyGenSecretKeyConfig.UseExisting },
    },
    keysetAddedInfo: { existingKeysetId: { requestId: idOf(existing) }, ...added },
  }) satisfies KeyGenOverrides;

const decompressionOnly = (from: number, to: number) =>
  ({
    keysetConfig: { keysetType: KeySetType.DecompressionOnly },
    keysetAddedInfo: {
      fromKeysetIdDecompressionOnly: { requestId: idOf(from) },
      toKeysetIdDecompressionOnly: { requestId: idOf(to) },
    },
  }) satisfies KeyGenOverrides;

const idMessage = (n: number) => ({ requestId: { requestId: idOf(n) } });

async function generate(link: EngineTestLink, overrides: KeyGenOverrides = {}) {
  return fromBinary(KeyGenResultSchema, await link.call(ENGINE_METHOD.keyGen, keyGenCall(overrides)));
}

async function opens(link: EngineTestLink, keyId: string, ciphertext: Uint8Array): Promise<number | undefined> {
  const request = publicDecryptionRequest({
    keyId: { requestId: keyId },
    ciphertexts: [{ ciphertext, fheType: 5, ciphertextFormat: 2, externalHandle: handleOf(1) }],
  });
  const body = toBinary(PublicDecryptionRequestSchema, request);
  const answer = await link.call(ENGINE_METHOD.publicDecrypt, body);
  return fromBinary(PublicDecryptionResponseSchema, answer).payload?.plaintexts[0]?.bytes[0];
}

function shake(tag: string, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('shake256', { outputLength: 32 }).update(tag).update(bytes).digest());
}

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

t.test('new public objects for an existing key: the same secret, a tag of choice', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const original = await makeKey(t, link, idMessage(10));
  for (const [i, useExistingKeyTag] of [false, true].entries()) {
    const derived = await makeKey(t, link, { ...idMessage(20 + i), ...useExisting(10, { useExistingKeyTag }) });
    const ciphertext = await derived.evaluation.encrypt(99n, 5, 2);
    t.equal(await opens(link, derived.keyId, ciphertext), 99, 'opens under the new id');
    t.equal(await opens(link, original.keyId, ciphertext), 99, 'opens under the original id');
    const digests = new Set([...derived.objects, ...original.objects].map(({ digest }) => toHex(digest)));
    t.equal(digests.size, 4, 'the public objects are new');
    const publicKey = derived.objects.find(({ type }) => type === 'PublicKey');
    const tag = toHex(publicKey?.bytes.subarray(-32) ?? new Uint8Array());
    t.equal(tag, useExistingKeyTag ? original.keyId : derived.keyId, 'the tag is the last that a public key holds');
  }
});

t.test('a compressed key set is copied to the original id, before and after a restart', async (t) => {
  const first = await testEngine(t);
  const link = await first.link();
  const original = await makeKey(t, link, { ...idMessage(10), ...uncompressed });
  const copy = useExisting(10, { copyCompressedKeyToOriginal: true, useExistingKeyTag: true });
  await generate(link, { ...idMessage(20), ...copy });
  const copies = link.objects.slice(2);
  t.same(copies.map(({ type, id, replace }) => [type, id, replace]).sort(), [
    ['CompressedXofKeySet', idOf(10), false],
    ['CompressedXofKeySet', idOf(20), false],
    ['PublicKey', idOf(20), false],
  ]);
  const keySetDigests = copies.filter(({ type }) => type === 'CompressedXofKeySet').map(({ digest }) => toHex(digest));
  t.equal(new Set(keySetDigests).size, 1, 'both copies are the same bytes');
  const digestsOf = async (over: EngineTestLink) => {
    const { keys } = await describe(over);
    return keys.find(({ keyId }) => keyId === original.keyId)?.result?.keyDigests.map(({ keyType }) => keyType);
  };
  t.same(await digestsOf(link), ['PublicKey', 'CompressedXofKeySet'], 'the original is a compressed key set now');
  await generate(link, { ...idMessage(21), ...copy });
  t.ok(link.objects.at(-1)?.replace, 'a second copy takes the place of the first');
  await first.stop();
  const second = await testEngine(t, { folder: first.folder });
  const again = await second.link();
  t.same(await digestsOf(again), ['PublicKey', 'CompressedXofKeySet']);
  const keySet = link.objects.filter(({ id, type }) => id === idOf(21) && type !== 'PublicKey');
  const evaluation = await loadObjects(t, keySet);
  t.equal(await opens(again, original.keyId, await evaluation.encrypt(3n, 5, 2)), 3);
});

t.test('a decompression key is signed as such and survives a restart', async (t) => {
  const first = await testEngine(t);
  const link = await first.link();
  await generate(link, idMessage(10));
  await generate(link, idMessage(11));
  const before = link.objects.length;
  const result = await generate(link, { ...idMessage(30), ...decompressionOnly(10, 11) });
  const [object, ...others] = link.objects.slice(before);
  t.same([object?.type, object?.id, others.length], ['DecompressionKey', idOf(30), 0]);
  t.same(
    result.keyDigests.map(({ keyType, digest }) => [keyType, toHex(digest)]),
    [['DecompressionKey', toHex(shake('PDAT_KEY', object?.bytes ?? new Uint8Array()))]],
  );
  const signer = await recoverTypedDataAddress({
    domain: DOMAIN,
    types: {
      FheDecompressionUpgradeKey: [
        { name: 'decompressionUpgradeKeyDigest', type: 'bytes' },
        { name: 'extraData', type: 'bytes' },
      ],
    },
    primaryType: 'FheDecompressionUpgradeKey',
    message: { decompressionUpgradeKeyDigest: `0x${toHex(object?.digest ?? new Uint8Array())}`, extraData: '0x' },
    signature: `0x${toHex(result.externalSignature)}`,
  });
  t.equal(signer, formatAddress((await describe(link)).address));
  await t.rejects(generate(link, { ...idMessage(31), ...decompressionOnly(10, 30) }), { code: 'NOT_FOUND' });
  await first.stop();
  const again = await (await testEngine(t, { folder: first.folder })).link();
  const found = (await describe(again)).keys.find(({ keyId }) => keyId === idOf(30));
  t.same(found?.result, result);
  await t.rejects(generate(again, { ...idMessage(30), ...decompressionOnly(10, 11) }), { code: 'ALREADY_EXISTS' });
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
