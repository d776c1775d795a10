/**
 * A real node judged by a client that shares nothing with it: grpc-js over hand-written message definitions, viem,
 * node:crypto, and node-tkms with keys of its own. What the published text promises (kms-service 1 to 6), call by call.
 */
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import t, { type Test } from 'tap';
import { encodeAbiParameters } from 'viem';
import { openForeignClient, SERVICE } from '../helpers/foreign-client.ts';
import {
  hex,
  isInternallySigned,
  isSigned,
  safe,
  signerOf,
  tagged,
  u32,
  u64,
  uintOf,
  vec,
  type WireDomain,
  type WireSignature,
} from '../helpers/independent-checks.ts';
import { present } from '../helpers/present.ts';
import { encryptFor, startParty } from '../helpers/start-party.ts';

const tkms: typeof import('node-tkms') = createRequire(import.meta.url)('node-tkms');
const party = await startParty(t, { logLevel: 'info' });
const { address, publicUrl } = party.node;
const { call, poll, close } = openForeignClient(party.node.clientUrl);
t.teardown(close);

const DOMAIN: WireDomain = {
  name: 'Ärca',
  version: '',
  chain_id: Buffer.from('00002a95', 'hex'),
  verifying_contract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
  salt: Buffer.alloc(32, 7),
};
const USER = '0x17853A630aAe15AED549B2B874de08B73C0F59c5';
const SCHEMES = ['MLDSA65', 'ECDSA256K1', 'ED25519', 'MLDSA87', 'MLDSA44'];
const EXTRA = Buffer.from('00', 'hex');
const PUBLIC_TYPE: Readonly<Record<string, number>> = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 9 };
const KEY_TYPE: Readonly<Record<string, number>> = { ServerKey: 0, PublicKey: 1, CompressedXofKeySet: 3 };
/** Type number, value, bytes: every type that the published client opens. */
const VALUES = [
  [0, 1n, 1],
  [2, 200n, 1],
  [3, 51_966n, 2],
  [4, 3_735_928_559n, 4],
  [5, 16_045_690_984_503_098_046n, 8],
  [6, (1n << 127n) + 3n, 16],
  [7, BigInt(USER), 20],
  [8, (1n << 255n) + 5n, 32],
] as const;

type Id = { readonly request_id: string };
interface Signed {
  readonly external_signature: Buffer;
  readonly signatures: readonly WireSignature[];
}
interface Answer<Payload> extends Signed {
  readonly signature: Buffer;
  readonly extra_data: Buffer;
  readonly payload: Payload & { readonly verification_key: Buffer };
}
interface KeyResult extends Signed {
  readonly request_id: Id;
  readonly key_digests: readonly { readonly key_type: string; readonly digest: Buffer }[];
}

const newId = (): string => randomBytes(32).toString('hex');
const id = (text: string): Id => ({ request_id: text });
const common = { domain: DOMAIN, extra_data: EXTRA, signing_schemes: SCHEMES };

async function fetchObject(type: string, name: string): Promise<Buffer> {
  const response = await fetch(`${publicUrl}/${type}/${name}`);
  return Buffer.from(await response.arrayBuffer());
}

/** All signatures of an answer: EIP-712 and the schemes asked for, in that order. */
async function checkSigned(
  t: Test,
  answer: Signed,
  [struct, message]: readonly [string, Record<string, unknown>],
  data: Uint8Array,
): Promise<void> {
  t.equal(await signerOf(DOMAIN, struct, { ...message, extraData: hex(EXTRA) }, answer.external_signature), address);
  t.same(
    answer.signatures.map(({ scheme }) => scheme),
    SCHEMES,
    'one signature per scheme, in the order asked for',
  );
  for (const one of answer.signatures) {
    if (one.scheme === 'ECDSA256K1') t.same(one.signature, answer.external_signature);
    else t.ok(await isSigned(one, data, fetchObject), `${struct} by ${one.scheme}`);
  }
}

async function preprocess(): Promise<string> {
  const prepId = newId();
  await call('KeyGenPreproc', { request_id: id(` 0x${prepId.toUpperCase()}\n`), params: 'test', ...common });
  return prepId;
}

async function generate(more: object = {}): Promise<{ keyId: string; prepId: string; result: KeyResult }> {
  const [keyId, prepId] = [newId(), await preprocess()];
  const started = await call('KeyGen', { request_id: id(keyId), preproc_id: id(prepId), ...common, ...more });
  if (started.code !== 'OK') throw new Error(`${started.code}: ${started.details}`);
  const { reply, details } = await poll<KeyResult>('GetKeyGenResult', keyId);
  return { keyId, prepId, result: present(reply, details) };
}

const first = await generate();
const ciphertexts = await encryptFor(
  party,
  first.keyId,
  VALUES.map(([fheType, value], i) => ({ value, fheType, format: i % 4 })),
);
const items = VALUES.map(([fhe_type], i) => ({
  ciphertext: present(ciphertexts[i]),
  fhe_type,
  ciphertext_format: i % 4,
  external_handle: Buffer.alloc(32 - i, i + 1),
}));
const handles = items.map(({ external_handle }) =>
  hex(Buffer.concat([Buffer.alloc(32), external_handle]).subarray(-32)),
);

t.test('a preprocessing answers under the plain form of its id, signed in every scheme', async (t) => {
  const prepId = await preprocess();
  const { reply } = await poll<Signed & { preprocessing_id: Id }>('GetKeyGenPreprocResult', prepId);
  const result = present(reply);
  t.equal(result.preprocessing_id.request_id, prepId);
  const payload = safe('PrepKeygenSignedPayload', u32(0), Buffer.from(prepId, 'hex'), vec(EXTRA));
  const message = { prepKeygenId: uintOf(prepId) };
  await checkSigned(t, result, ['PrepKeygenVerification', message], Buffer.concat([Buffer.from('PDAT_KEY'), payload]));
});

t.test('each kind of key set has its objects, in order, with the digests that were signed', async (t) => {
  const standard = (secret_key_config: number, compressed_key_config: number): object => ({
    keyset_config: { standard_keyset_config: { secret_key_config, compressed_key_config } },
  });
  const existing = { keyset_added_info: { existing_keyset_id: id(first.keyId), use_existing_key_tag: true } };
  for (const [made, types] of [
    [first, ['PublicKey', 'CompressedXofKeySet']],
    [await generate(standard(0, 1)), ['ServerKey', 'PublicKey']],
    [await generate({ ...standard(1, 0), ...existing }), ['PublicKey', 'CompressedXofKeySet']],
  ] as const) {
    const { keyId, prepId, result } = made;
    const digests = result.key_digests;
    t.same(
      digests.map(({ key_type }) => key_type),
      types,
    );
    for (const { key_type, digest } of digests) {
      t.same(tagged('PDAT_KEY', await fetchObject(key_type, keyId)), digest, `served ${key_type}`);
    }
    const map = digests.flatMap(({ key_type, digest }) => [u32(0), u32(present(PUBLIC_TYPE[key_type])), vec(digest)]);
    const ids = [Buffer.from(prepId, 'hex'), Buffer.from(keyId, 'hex')];
    const payload = safe('KeygenSignedPayload', u32(0), ...ids, u64(digests.length), ...map, vec(EXTRA));
    const keyDigests = digests.map(({ key_type, digest }) => ({ keyType: KEY_TYPE[key_type], digest: hex(digest) }));
    const message = { prepKeygenId: uintOf(prepId), keyId: uintOf(keyId), keyDigests };
    await checkSigned(t, result, ['KeygenVerification', message], Buffer.concat([Buffer.from('PDAT_KEY'), payload]));
  }
});

t.test('a decompression key is made between two keys, and decrypts nothing itself', async (t) => {
  const other = await generate();
  const keyset_added_info = {
    from_keyset_id_decompression_only: id(first.keyId),
    to_keyset_id_decompression_only: id(other.keyId),
  };
  const { keyId, result } = await generate({ keyset_config: { keyset_type: 'DecompressionOnly' }, keyset_added_info });
  const { key_type, digest } = present(result.key_digests[0]);
  t.equal(key_type, 'DecompressionKey');
  t.same(tagged('PDAT_KEY', await fetchObject(key_type, keyId)), digest);
  const message = { decompressionUpgradeKeyDigest: hex(digest), extraData: hex(EXTRA) };
  t.equal(await signerOf(DOMAIN, 'FheDecompressionUpgradeKey', message, result.external_signature), address);
  const request = { request_id: id(newId()), ciphertexts: items, key_id: id(keyId), domain: DOMAIN };
  t.equal((await call('PublicDecryptSync', request)).code, 'NOT_FOUND');
});

t.test('a public decryption of all types and formats, in order, signed three ways', async (t) => {
  const request = { request_id: id(newId()), ciphertexts: items, key_id: id(first.keyId), ...common };
  type Payload = { readonly plaintexts: readonly { bytes: Buffer; fhe_type: number }[]; readonly request_id: Id };
  const { reply, details } = await call<Answer<Payload>>('PublicDecryptSync', request);
  const { payload, signature, external_signature, signatures, extra_data } = present(reply, details);
  t.same(
    payload.plaintexts.map(({ bytes, fhe_type }) => [
      fhe_type,
      uintOf(Buffer.from(bytes).reverse().toString('hex')),
      bytes.length,
    ]),
    VALUES,
  );
  t.same(extra_data, EXTRA, 'signed as it came');
  const encoded = Buffer.concat([
    vec(payload.verification_key),
    u64(payload.plaintexts.length),
    ...payload.plaintexts.flatMap(({ bytes, fhe_type }) => [vec(bytes), u32(fhe_type)]),
    Buffer.of(1),
    vec(payload.request_id.request_id),
  ]);
  t.ok(await isInternallySigned(signature, 'PUBL_DEC', encoded, fetchObject));
  const values = VALUES.map(([, value]) => value);
  const words = values.map(() => ({ type: 'uint256' }) as const);
  const message = { ctHandles: handles, decryptedResult: encodeAbiParameters(words, values) };
  const data = Buffer.concat([Buffer.from('PUBL_DEC'), encoded]);
  await checkSigned(t, { external_signature, signatures }, ['PublicDecryptVerification', message], data);

  t.equal((await call('PublicDecrypt', request)).code, 'ALREADY_EXISTS');
  const again = await call<Signed>('PublicDecryptSync', request);
  t.same(again.reply?.external_signature, external_signature, 'the finished attempt answers');
  t.equal((await call('PublicDecryptSync', { ...request, extra_data: Buffer.of(1) })).code, 'ALREADY_EXISTS');
  t.equal((await call('GetUserDecryptionResult', request.request_id)).code, 'NOT_FOUND', 'kinds do not mix');
});

t.test('the published client opens a user decryption with a key pair of its own', async (t) => {
  const secretKey = tkms.ml_kem_pke_keygen();
  const encKey = Buffer.from(tkms.ml_kem_pke_pk_to_u8vec(tkms.ml_kem_pke_get_pk(secretKey)));
  const ask = { key_id: id(first.keyId), domain: DOMAIN, client_address: USER, typed_ciphertexts: items };
  const request = { ...ask, request_id: id(newId()), enc_key: encKey };
  type Item = { fhe_type: number; signcrypted_ciphertext: Buffer; external_handle: Buffer; packing_factor: number };
  type Payload = { readonly digest: Buffer; readonly signcrypted_ciphertexts: readonly Item[] };
  const { reply, details } = await call<Answer<Payload>>('UserDecryptSync', request);
  const { payload, signature, external_signature } = present(reply, details);
  const encoded = Buffer.concat([
    vec(payload.verification_key),
    vec(payload.digest),
    u64(payload.signcrypted_ciphertexts.length),
    ...payload.signcrypted_ciphertexts.flatMap((item) => [
      u32(item.fhe_type),
      vec(item.signcrypted_ciphertext),
      vec(item.external_handle),
      u32(item.packing_factor),
    ]),
    u32(1),
    u32(0),
  ]);
  t.ok(await isInternallySigned(signature, 'USER_DEC', encoded, fetchObject));
  const plaintexts = tkms.process_user_decryption_resp_from_js(
    tkms.new_client([tkms.new_server_id_addr(1, address)], USER, 'test'),
    {
      client_address: USER,
      enc_key: encKey.toString('hex'),
      ciphertext_handles: items.map(({ external_handle }) => external_handle.toString('hex')),
      eip712_verifying_contract: DOMAIN.verifying_contract,
    },
    { ...DOMAIN, salt: [...present(DOMAIN.salt)] },
    [{ signature: external_signature.toString('hex'), payload: encoded.toString('hex'), extra_data: '' }],
    tkms.ml_kem_pke_get_pk(secretKey),
    secretKey,
    true,
  );
  t.same(
    plaintexts.map(({ bytes, fhe_type }) => [fhe_type, uintOf(Buffer.from(bytes).toString('hex'))]),
    VALUES.map(([fheType, value]) => [fheType, value]),
  );
  for (const [why, enc_key] of [
    ['a byte after it', Buffer.concat([encKey, Buffer.of(0)])],
    ['a coefficient of q', Buffer.concat([encKey.subarray(0, 69), Buffer.of(0x01, 0x0d), encKey.subarray(71)])],
  ] as const) {
    t.equal(
      (await call('UserDecryptSync', { ...request, request_id: id(newId()), enc_key })).code,
      'INVALID_ARGUMENT',
      why,
    );
  }
});

t.test('a wrong ciphertext fails with its result, and its id may be tried again', async (t) => {
  const item = present(items[1]);
  const [request_id, key_id] = [id(newId()), id(first.keyId)];
  const ciphertext = Buffer.concat([item.ciphertext, Buffer.of(0)]);
  const request = { request_id, key_id, domain: DOMAIN, ciphertexts: [{ ...item, ciphertext }] };
  for (const attempt of ['first', 'second']) {
    t.equal((await call('PublicDecrypt', request)).code, 'OK', attempt);
    const { code, details } = await poll('GetPublicDecryptionResult', request_id.request_id);
    t.equal(code, 'INTERNAL', attempt);
    t.equal(details, `Failed on requestID ${request_id.request_id} with metric public_decrypt_result`);
  }
  const typed = { request_id: id(newId()), key_id, domain: DOMAIN, ciphertexts: [{ ...item, fhe_type: 3 }] };
  t.equal((await call('PublicDecryptSync', typed)).code, 'INTERNAL', 'fhe_type is not what the ciphertext holds');
});

t.test('status and health services', async (t) => {
  const { reply } = await call<{ requests: object[]; next_page_token?: string }>(
    'ListRequests',
    { meta_store_type: 'KEY_GENERATION', max_results: 2 },
    SERVICE.metaStore,
  );
  t.match(reply, { requests: [{ status: 'COMPLETED' }, { status: 'COMPLETED' }], next_page_token: '2' });
  t.equal((await call('ListRequests', {}, SERVICE.metaStore)).code, 'INVALID_ARGUMENT', 'ALL');
  t.match((await call('Check', { service: SERVICE.core }, SERVICE.health)).reply, { status: 'SERVING' });
  t.equal((await call('Check', { service: 'nobody' }, SERVICE.health)).code, 'NOT_FOUND');
});
