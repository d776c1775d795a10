/** Public decryption by a quorum with the real arithmetic: shares of a test key, real ciphertexts, signed answers. */
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { loadSquashKeys } from '../../native/engine/index.ts';
import { PublicDecryptionRequestSchema, PublicDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { FHE_TYPES } from '../../wire/fhe-types.ts';
import { FORMATS, fromLittleEndian, testKeySet } from '../helpers/fhe-key-set.ts';
import { present } from '../helpers/present.ts';
import { type QuorumNode, quorumNodes } from '../helpers/quorum-nodes.ts';
import { handleOf, idOf, publicDecryptionRequest } from '../helpers/requests.ts';

const { key, evaluation, folder } = await testKeySet(t);
const squash = await loadSquashKeys({ compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') });
t.teardown(() => squash.dispose());

const TYPES = FHE_TYPES.filter((type) => type.abiEncodable);
const BIG_COMPRESSED = 2;

function mostOf(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

/** A request for one ciphertext of each type that holds the type's largest value less one, but for Bool. */
async function requestBody(number: number, format: 0 | 1 | 2 | 3 = BIG_COMPRESSED): Promise<Uint8Array> {
  const ciphertexts = await Promise.all(
    TYPES.map(async ({ number: fheType, bits }, i) => ({
      ciphertext: await evaluation.encrypt(mostOf(bits) - (bits > 1 ? 1n : 0n), fheType, format),
      fheType,
      ciphertextFormat: format,
      externalHandle: handleOf(i, fheType),
    })),
  );
  const request = publicDecryptionRequest({ requestId: { requestId: idOf(number) }, ciphertexts });
  return toBinary(PublicDecryptionRequestSchema, request);
}

const WANTED = TYPES.map(({ bits }) => mostOf(bits) - (bits > 1 ? 1n : 0n));

async function open(node: QuorumNode, body: Uint8Array): Promise<bigint[]> {
  const { payload } = fromBinary(PublicDecryptionResponseSchema, await node.publicDecrypt(body));
  return payload?.plaintexts.map(({ bytes }) => fromLittleEndian(bytes)) ?? [];
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
  [13, 4],
] as const) {
  t.test(`(${n}, ${threshold}): every party opens every type, and nobody is named`, async (t) => {
    const { sim, nodes } = quorumNodes(t, { key, squash, n, t: threshold });
    const body = await requestBody(1);
    for (const result of await sim.run(Promise.all(nodes.map((node) => open(node, body))))) t.same(result, WANTED);
    for (const { ledger } of sim.parties) t.same(ledger.liars(), []);
  });

  t.test(`(${n}, ${threshold}): t parties with wrong shares change nothing and are named`, async (t) => {
    const wrong = new Set(Array.from({ length: threshold }, (_, i) => 3 * i + 1));
    const { sim, nodes } = quorumNodes(t, { key, squash, n, t: threshold, wrong });
    const honest = sim.parties.filter(({ party }) => !wrong.has(party));
    for (let number = 1; number <= 12; number++) {
      const body = await requestBody(number);
      const opened = await sim.run(Promise.allSettled(nodes.map((node) => open(node, body))));
      for (const { party } of honest) t.match(opened[party - 1], { status: 'fulfilled', value: WANTED });
      if (honest.every(({ ledger }) => ledger.liars().length === threshold)) break;
    }
    for (const { ledger } of honest) t.same(ledger.liars(), [...wrong]);
  });
}

t.test('every format is opened', async (t) => {
  const { sim, nodes } = quorumNodes(t, { key, squash, n: 4, t: 1 });
  for (const format of [0, 1, 2, 3] as const) {
    const body = await requestBody(format + 1, format);
    const [first] = await sim.run(Promise.all(nodes.map((node) => open(node, body))));
    t.same(first, WANTED, FORMATS[format]);
  }
});

t.test('parties whose set-ups differ open nothing and say so', async (t) => {
  const { sim, nodes } = quorumNodes(t, { key, squash, n: 4, t: 1, wrong: new Set([1, 2]) });
  const body = await requestBody(1);
  for (const result of await sim.run(Promise.allSettled(nodes.map((node) => open(node, body))))) {
    t.equal(result.status, 'rejected');
  }
});

t.test('a ciphertext that is none fails its request at every party, and no other', async (t) => {
  const { sim, nodes } = quorumNodes(t, { key, squash, n: 4, t: 1 });
  const bad = toBinary(PublicDecryptionRequestSchema, publicDecryptionRequest({ requestId: { requestId: idOf(9) } }));
  const good = await requestBody(1);
  const answers = nodes.map((node) => Promise.allSettled([open(node, bad), open(node, good)]));
  for (const [first, second] of await sim.run(Promise.all(answers))) {
    t.match(first, { status: 'rejected', reason: { code: 'CIPHERTEXT_INVALID' } });
    t.match(second, { status: 'fulfilled', value: WANTED });
  }
});

t.test('a body is freed once its answer is made, and never where it may still be read', async (t) => {
  const { sim, nodes } = quorumNodes(t, { key, squash, n: 4, t: 1 });
  const [first, ...others] = nodes.map((node) => node.publicDecrypt);
  const ask = present(first);
  const body = await requestBody(1);
  const freed: string[] = [];
  const leaving = new AbortController();
  const left = ask(body, { signal: leaving.signal, freeBody: () => freed.push('of a caller who left') });
  const stays = ask(body, { freeBody: () => freed.push('of a caller who stays') });
  leaving.abort();
  await t.rejects(left, { code: 'CANCELLED' });
  t.same(freed, [], 'nothing is made yet');
  await sim.run(Promise.all([stays, ...others.map((other) => other(body))]));
  t.same(freed, ['of a caller who stays']);
  const bad = publicDecryptionRequest({ requestId: { requestId: idOf(2) } });
  const failed = ask(toBinary(PublicDecryptionRequestSchema, bad), { freeBody: () => freed.push('of a failure') });
  await t.rejects(sim.run(Promise.resolve(failed)), { code: 'CIPHERTEXT_INVALID' });
  t.equal(freed.length, 1);
});
