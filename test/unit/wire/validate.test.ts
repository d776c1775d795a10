/** Structural checks of requests: what each field accepts, what each refuses, and that nothing else is thrown. */
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  CrsGenRequestSchema,
  KeyGenPreprocRequestSchema,
  KeyGenRequestSchema,
  NewMpcContextRequestSchema,
  PartialKeyGenPreprocRequestSchema,
  PublicDecryptionRequestSchema,
  SigningSchemeType,
  UserDecryptionRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { parseNewMpcContext } from '../../../wire/validate/context.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../../wire/validate/decryption.ts';
import {
  parseCrsGen,
  parseKeyGen,
  parseKeyGenPreproc,
  parsePartialKeyGenPreproc,
} from '../../../wire/validate/generation.ts';
import { refuses } from '../../helpers/refuses.ts';
import {
  D0,
  type Fields,
  handleOf,
  idOf,
  publicDecryptionRequest,
  userDecryptionRequest,
} from '../../helpers/requests.ts';

const { encKey } = generateUserKeyPair();
const id = (n: number): { requestId: string } => ({ requestId: idOf(n) });
const zero = { requestId: '0'.repeat(64) };
const unknown = 99 as SigningSchemeType;

t.test('a public decryption comes out typed, with defaults, without copying ciphertexts', async (t) => {
  const bytes = toBinary(
    PublicDecryptionRequestSchema,
    publicDecryptionRequest({
      requestId: { requestId: ` 0x${'AB'.repeat(32)} ` },
      signingSchemes: [SigningSchemeType.MLDSA44, SigningSchemeType.ECDSA256K1, SigningSchemeType.MLDSA44],
      extraData: Uint8Array.of(9, 9),
    }),
  );
  const parsed = parsePublicDecryption(fromBinary(PublicDecryptionRequestSchema, bytes));
  t.equal(parsed.requestId, 'ab'.repeat(32));
  t.equal(parsed.contextId, DEFAULT_CONTEXT_ID);
  t.equal(parsed.epochId, DEFAULT_EPOCH_ID);
  t.same(parsed.signingSchemes, [SigningSchemeType.MLDSA44, SigningSchemeType.ECDSA256K1]);
  t.same([...parsed.extraData], [9, 9]);
  t.equal(parsed.items[0]?.ciphertext.buffer, bytes.buffer, 'the ciphertext is a view into the request');
});

t.test('types, formats and long handles of a public decryption are left for the result', async (t) => {
  const ciphertexts = [{ fheType: -7, ciphertextFormat: 42 as never, externalHandle: new Uint8Array(33) }];
  const [item] = parsePublicDecryption(publicDecryptionRequest({ ciphertexts })).items;
  t.same([item?.fheType, item?.format, item?.externalHandle.byteLength], [-7, 42, 33]);
});

t.test('a public decryption is refused at the field that is wrong', async (t) => {
  const cases: [string, Fields<typeof PublicDecryptionRequestSchema>][] = [
    ['request_id', { requestId: zero }],
    ['key_id', { keyId: { requestId: 'xyz' } }],
    ['context_id', { contextId: { requestId: '' } }],
    ['epoch_id', { epochId: zero }],
    ['ciphertexts', { ciphertexts: [] }],
    ['signing_schemes', { signingSchemes: [SigningSchemeType.ED25519, unknown] }],
    ['domain.chain_id', { domain: { ...D0, chainId: new Uint8Array(33) } }],
    ['domain.salt', { domain: { ...D0, salt: new Uint8Array(1) } }],
    ['domain.verifying_contract', { domain: { ...D0, verifyingContract: '0x00' } }],
  ];
  for (const [field, wrong] of cases) {
    refuses(t, field, () => parsePublicDecryption(create(PublicDecryptionRequestSchema, { ...plain(), ...wrong })));
  }
  for (const field of ['requestId', 'keyId', 'domain'] as const) {
    const { [field]: _, ...without } = plain();
    const name = { requestId: 'request_id', keyId: 'key_id', domain: 'domain' }[field];
    refuses(t, name, () => parsePublicDecryption(create(PublicDecryptionRequestSchema, without)), `no ${name}`);
  }
});

function plain() {
  return { requestId: id(1), keyId: id(2), ciphertexts: [{ externalHandle: handleOf(1) }], domain: D0 };
}

t.test('a user decryption is refused at the field that is wrong', async (t) => {
  const good = userDecryptionRequest({ encKey });
  const parsed = parseUserDecryption(good);
  t.equal(parsed.encKey, good.encKey, 'the key is kept as received');
  t.equal(parsed.clientAddress.byteLength, 20);
  const cases: [string, Fields<typeof UserDecryptionRequestSchema>][] = [
    ['typed_ciphertexts', { typedCiphertexts: [] }],
    ['client_address', { clientAddress: good.clientAddress.toLowerCase() }],
    ['client_address', { clientAddress: D0.verifyingContract ?? '' }],
    ['external_handle', { typedCiphertexts: [{}, { externalHandle: new Uint8Array(33) }] }],
    ['enc_key', { encKey: new Uint8Array(0) }],
    ['enc_key', { encKey: encKey.subarray(1) }],
    ['key_id', { keyId: zero }],
    ['signing_schemes', { signingSchemes: [unknown] }],
  ];
  for (const [field, wrong] of cases) {
    refuses(t, field, () => parseUserDecryption(userDecryptionRequest({ encKey, ...wrong })));
  }
  const short = parseUserDecryption(userDecryptionRequest({ encKey, typedCiphertexts: [{ fheType: 77 }] }));
  t.equal(short.items[0]?.fheType, 77, 'types are not looked at');
});

t.test('a preprocessing without keyset is standard, generated and compressed', async (t) => {
  const parse = (more: Fields<typeof KeyGenPreprocRequestSchema> = {}) =>
    parseKeyGenPreproc(create(KeyGenPreprocRequestSchema, { requestId: id(1), domain: D0, ...more }));
  t.match(parse(), { params: 'default', keyset: { kind: 'standard', secretKey: 'generate', compressed: true } });
  t.equal(parse({ params: 1 }).params, 'test');
  t.same(parse({ keysetConfig: { keysetType: 1 } }).keyset, { kind: 'decompression-only' });
  const standard = (config: object) => parse({ keysetConfig: { standardKeysetConfig: config } }).keyset;
  t.match(standard({ compressedKeyConfig: 1 }), { compressed: false });
  t.match(standard({ compressedKeyConfig: 7 }), { compressed: true }, 'any other number is compressed');
  t.match(standard({ secretKeyConfig: 1 }), { secretKey: 'use-existing' });
  refuses(t, 'params', () => parse({ params: 2 as never }));
  refuses(t, 'standard_keyset_config', () => parse({ keysetConfig: {} }));
  refuses(t, 'keyset_type', () => parse({ keysetConfig: { keysetType: 2 as never } }));
  refuses(t, 'compute_key_type', () => standard({ computeKeyType: 1 }));
  refuses(t, 'secret_key_config', () => standard({ secretKeyConfig: 2 }));
  refuses(t, 'domain', () => parseKeyGenPreproc(create(KeyGenPreprocRequestSchema, { requestId: id(1) })));
});

t.test('a partial preprocessing runs all unless told, and at most all', async (t) => {
  const parse = (partialParams?: object) =>
    parsePartialKeyGenPreproc(
      create(PartialKeyGenPreprocRequestSchema, {
        baseRequest: { requestId: id(1), domain: D0 },
        ...(partialParams === undefined ? {} : { partialParams }),
      }),
    );
  t.match(parse(), { percentageOffline: 100, storeDummyPreprocessing: false });
  t.match(parse({ percentageOffline: 0, storeDummyPreprocessing: true }), {
    percentageOffline: 0,
    storeDummyPreprocessing: true,
  });
  refuses(t, 'percentage_offline', () => parse({ percentageOffline: 101 }));
  refuses(t, 'base_request', () => parsePartialKeyGenPreproc(create(PartialKeyGenPreprocRequestSchema, {})));
});

t.test('a key generation needs its preprocessing and the ids of its kind', async (t) => {
  const parse = (more: Fields<typeof KeyGenRequestSchema> = {}) =>
    parseKeyGen(create(KeyGenRequestSchema, { requestId: id(1), preprocId: id(3), domain: D0, ...more }));
  t.same(parse().keyset, { kind: 'generate', compressed: true });
  t.equal(parse().params, undefined, 'parameters of the preprocessing hold');
  t.equal(parse({ params: 0 }).params, 'default');
  refuses(t, 'params', () => parse({ params: 3 as never }));
  refuses(t, 'preproc_id', () => parse({ preprocId: zero }));
  refuses(t, 'preproc_id', () => parseKeyGen(create(KeyGenRequestSchema, { requestId: id(1), domain: D0 })), 'none');

  const existing = { standardKeysetConfig: { secretKeyConfig: 1 } } as const;
  refuses(t, 'existing_keyset_id', () => parse({ keysetConfig: existing }));
  t.same(
    parse({
      keysetConfig: existing,
      keysetAddedInfo: { existingKeysetId: id(9), useExistingKeyTag: true, copyCompressedKeyToOriginal: true },
    }).keyset,
    {
      kind: 'use-existing',
      compressed: true,
      existingKeyId: idOf(9),
      useExistingKeyTag: true,
      copyCompressedKeyToOriginal: true,
    },
  );
  const decompression = { keysetType: 1 } as const;
  const to = { toKeysetIdDecompressionOnly: id(5) };
  refuses(t, 'from_keyset_id_decompression_only', () => parse({ keysetConfig: decompression, keysetAddedInfo: to }));
  const from = { fromKeysetIdDecompressionOnly: id(4) };
  refuses(t, 'to_keyset_id_decompression_only', () => parse({ keysetConfig: decompression, keysetAddedInfo: from }));
  t.same(parse({ keysetConfig: decompression, keysetAddedInfo: { ...from, ...to } }).keyset, {
    kind: 'decompression-only',
    fromKeyId: idOf(4),
    toKeyId: idOf(5),
  });
});

t.test('max_num_bits is a power of two up to 2048, and 2048 by default', async (t) => {
  const parse = (more: Fields<typeof CrsGenRequestSchema> = {}) =>
    parseCrsGen(create(CrsGenRequestSchema, { requestId: id(1), domain: D0, ...more })).maxNumBits;
  t.equal(parse(), 2048);
  for (let bits = 1; bits <= 2048; bits *= 2) t.equal(parse({ maxNumBits: bits }), bits);
  for (const bits of [0, 3, 2047, 4096, 0x80000000, 0xffffffff]) {
    refuses(t, 'max_num_bits', () => parse({ maxNumBits: bits }), `${bits}`);
  }
});

t.test('any message that decodes is taken or refused with REQUEST_INVALID', async (t) => {
  const parsers: [DescMessage, (message: never) => unknown, Uint8Array][] = [
    [
      PublicDecryptionRequestSchema,
      parsePublicDecryption,
      toBinary(PublicDecryptionRequestSchema, publicDecryptionRequest()),
    ],
    [
      UserDecryptionRequestSchema,
      parseUserDecryption,
      toBinary(UserDecryptionRequestSchema, userDecryptionRequest({ encKey })),
    ],
    [
      KeyGenRequestSchema,
      parseKeyGen,
      toBinary(
        KeyGenRequestSchema,
        create(KeyGenRequestSchema, {
          requestId: id(1),
          preprocId: id(2),
          domain: D0,
          keysetConfig: { standardKeysetConfig: {} },
        }),
      ),
    ],
    [
      NewMpcContextRequestSchema,
      parseNewMpcContext,
      toBinary(
        NewMpcContextRequestSchema,
        create(NewMpcContextRequestSchema, {
          newContext: { contextId: id(1), mpcNodes: [{ partyId: 1, externalUrl: 'http://a:1' }], softwareVersion: '1' },
        }),
      ),
    ],
  ];
  for (const [schema, parse, good] of parsers) {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.byteLength - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
        const bytes = Uint8Array.from(good);
        for (const [at, byte] of changes) bytes[at] = byte;
        let message: unknown;
        try {
          message = fromBinary(schema, bytes);
        } catch {
          return true; // refused before it comes here
        }
        try {
          parse(message as never);
          return true;
        } catch (error) {
          return error instanceof KmsError && error.code === 'REQUEST_INVALID';
        }
      }),
      { numRuns: 300 },
    );
    t.pass(schema.typeName);
  }
});
