/**
 * What single steps of a decryption cost, each alone and on one core: the native calls first, then the steps around
 * them, as engine and Core take them.
 */
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { namePublicRequest } from '../../enclave/threshold/request-name.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../enclave/vault/private-vault.ts';
import { blake3, FheKey, NodeKey, publicDecryptSync, userDecryptSync } from '../../native/engine/index.ts';
import { keccak256 } from '../../native/engine/public.ts';
import { bodyDigest } from '../../parent/core/rpc/body-digest.ts';
import { RequestStore } from '../../parent/core/store/request-store.ts';
import {
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
  UserDecryptionRequestSchema,
} from '../../proto/gen/kms_pb.js';
import { openFileStorage } from '../../storage/file-storage.ts';
import { abiEncodePlaintexts } from '../../wire/abi-plaintexts.ts';
import { publicDecryptDigest } from '../../wire/eip712.ts';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import { ENGINE_METHOD, encodeCall } from '../../wire/frames.ts';
import { DEFAULT_EPOCH_ID, idFromBytes, parseRequestId } from '../../wire/ids.ts';
import { encodePublicDecryptionPayload, verificationKeyField } from '../../wire/payloads.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { Bench } from './decryption.ts';
import { measureKernels } from './kernels.ts';
import { DOMAIN } from './party.ts';
import type { BenchRequest } from './requests.ts';

const REPEATS = 2000;
const WARM_UP = 300;
const RESPONSE_BYTES = 400;

/** Measures every step. `dir` is the party's state folder; the party must not be running. */
export async function measureSteps(
  bench: Bench,
  dir: string,
  keyId: string,
  requests: readonly BenchRequest[],
): Promise<void> {
  using key = await readKey(dir, keyId);
  using nodeKey = NodeKey.generate();
  const [publicRequest, userRequest] = requests;
  if (!publicRequest || !userRequest) throw new Error('both kinds of requests are needed');
  const step = (name: string, work: () => void) => {
    const value = microseconds(work);
    bench.figures.add({ name, value, unit: 'µs' });
    bench.say(`${name}: ${value.toFixed(1)} µs`);
  };

  const { items } = parsePublicDecryption(fromBinary(PublicDecryptionRequestSchema, publicRequest.body));
  const forUser = parseUserDecryption(fromBinary(UserDecryptionRequestSchema, userRequest.body));
  const recipient = { ...forUser, link: new Uint8Array(32) };
  step('step.native.publicDecrypt', () => publicDecryptSync(key, items));
  step('step.native.userDecrypt', () => userDecryptSync(key, nodeKey, items, recipient));
  step('step.native.signature', () => nodeKey.signDigest(recipient.link));
  step('step.native.keccak400', () => keccak256(publicRequest.body.subarray(0, 400)));

  step('step.protobuf.decodeRequest', () => fromBinary(PublicDecryptionRequestSchema, publicRequest.body));
  const decoded = fromBinary(PublicDecryptionRequestSchema, publicRequest.body);
  step('step.validate.public', () => parsePublicDecryption(decoded, keccak256));
  const decodedUser = fromBinary(UserDecryptionRequestSchema, userRequest.body);
  step('step.validate.user', () => parseUserDecryption(decodedUser, keccak256));
  const named = parsePublicDecryption(decoded, keccak256);
  step('step.engine.requestName', () => namePublicRequest(named, blake3));
  step('step.core.requestDigest', () => bodyDigest(publicRequest.body));

  const plaintexts = [{ bytes: new Uint8Array(8), fheType: 5 }];
  const digestOf = () =>
    publicDecryptDigest(
      {
        domain: DOMAIN.parsed,
        ctHandles: items.map(({ externalHandle }) => externalHandle),
        decryptedResult: abiEncodePlaintexts(plaintexts),
        extraData: new Uint8Array(),
      },
      keccak256,
    );
  step('step.engine.eip712Digest', digestOf);
  const verificationKey = verificationKeyField(nodeKey.publicKey);
  const requestId = parseRequestId(keyId);
  step('step.engine.encodePayload', () => encodePublicDecryptionPayload({ verificationKey, plaintexts, requestId }));
  const response = create(PublicDecryptionResponseSchema, {
    signature: new Uint8Array(64),
    externalSignature: new Uint8Array(65),
    payload: { verificationKey, plaintexts, requestId: { requestId } },
  });
  step('step.protobuf.encodeResponse', () => toBinary(PublicDecryptionResponseSchema, response));

  const frame = Buffer.concat(encodeCall(1, ENGINE_METHOD.publicDecrypt, new Uint8Array(), publicRequest.body));
  const decoder = new FrameDecoder();
  step('step.hop.frames', () => {
    encodeCall(1, ENGINE_METHOD.publicDecrypt, new Uint8Array(), publicRequest.body);
    // A Unix socket hands a body of this size over in two pieces.
    decoder.push(frame.subarray(0, 65_536));
    decoder.push(frame.subarray(65_536));
  });
  for (const inFlight of [1, 16]) await measureStore(bench, inFlight);
  const [item] = items;
  if (item) await measureKernels(bench, key, item);
}

/** A request begun and settled in SQLite, with so many at a time. */
async function measureStore(bench: Bench, inFlight: number): Promise<void> {
  const file = join(bench.folder, `store-${inFlight}.sqlite`);
  const store = new RequestStore({ file, decCapacity: 10_000, minDecCache: 6_000 });
  let count = 0;
  const one = async () => {
    const number = Buffer.alloc(32);
    number.writeUInt32BE(++count, 28);
    const entry = store.begin({
      kind: 'public_decrypt',
      id: idFromBytes(number),
      digest: 'ab'.repeat(32),
      contextId: DEFAULT_EPOCH_ID,
      epochId: DEFAULT_EPOCH_ID,
    });
    await store.settle(entry, { state: 'done', response: new Uint8Array(RESPONSE_BYTES) });
  };
  const rounds = REPEATS / inFlight;
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: inFlight }, one));
  const used = process.cpuUsage(before);
  store.close();
  const value = (used.user + used.system) / (rounds * inFlight);
  bench.figures.add({ name: `step.core.sqlite.inFlight${inFlight}`, value, unit: 'µs' });
  bench.say(`step.core.sqlite.inFlight${inFlight}: ${value.toFixed(1)} µs`);
}

function microseconds(work: () => void): number {
  for (let i = 0; i < WARM_UP; i++) work();
  const before = process.cpuUsage();
  for (let i = 0; i < REPEATS; i++) work();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / REPEATS;
}

async function readKey(dir: string, keyId: string): Promise<FheKey> {
  const storage = await openFileStorage({ root: join(dir, 'private'), prefix: 'PRIV', folderMode: 0o700 });
  const vault = new PrivateVault(clearKeeper(storage));
  const path = ['FhePrivateKey', DEFAULT_EPOCH_ID, parseRequestId(keyId)] as const;
  return await vault.read(path, (content) => FheKey.fromBytes(content));
}
