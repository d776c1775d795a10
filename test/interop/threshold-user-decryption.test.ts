/**
 * node-tkms 0.12.8 reconstructs what a quorum answers a user: every type, with parties missing and parties whose shares
 * are wrong, as many as there may be, and refuses fewer than 2t + 1 answers.
 */
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { loadSquashKeys } from '../../native/engine/index.ts';
import {
  UserDecryptionRequestSchema,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { FHE_TYPES, type FheTypeInfo } from '../../wire/fhe-types.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import { parseUserDecryption, type UserDecryption } from '../../wire/validate/decryption.ts';
import { FORMATS, testKeySet } from '../helpers/fhe-key-set.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { type QuorumNodesOptions, quorumNodes } from '../helpers/quorum-nodes.ts';
import { handleOf, userDecryptionRequest } from '../helpers/requests.ts';

const { key, evaluation, folder } = await testKeySet(t);
const squash = await loadSquashKeys({ compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') });
t.teardown(() => squash.dispose());

const keys = generateUserKeyPair();
const TYPES = FHE_TYPES.filter((type) => type.abiEncodable);
const BIG_COMPRESSED = 2;

interface Answers {
  readonly request: UserDecryption;
  readonly responses: readonly UserDecryptionResponse[];
  readonly addresses: readonly Uint8Array[];
}

/** Every byte differs from its neighbours'. */
function plaintextOf({ number, bits }: FheTypeInfo): bigint {
  if (number === 0) return 1n;
  const digits = Array.from({ length: bits / 8 }, (_, i) => ((37 * i + 201) & 255).toString(16).padStart(2, '0'));
  return BigInt(`0x${digits.join('')}`);
}

async function ask(
  t: Parameters<typeof quorumNodes>[0],
  options: Omit<QuorumNodesOptions, 'key' | 'squash'>,
  types: readonly FheTypeInfo[],
  format: 0 | 1 | 2 | 3 = BIG_COMPRESSED,
): Promise<Answers> {
  const { sim, nodes } = quorumNodes(t, { key, squash, ...options });
  const typedCiphertexts = await Promise.all(
    types.map(async (type, i) => ({
      ciphertext: await evaluation.encrypt(plaintextOf(type), type.number, format),
      fheType: type.number,
      ciphertextFormat: format,
      externalHandle: handleOf(i + 1, type.number),
    })),
  );
  const message = userDecryptionRequest({ typedCiphertexts, encKey: keys.encKey });
  const body = toBinary(UserDecryptionRequestSchema, message);
  const bodies = await sim.run(Promise.all(nodes.map(({ userDecrypt }) => userDecrypt(body))));
  for (const { sharesSent } of sim.parties) if (sharesSent > 0) throw new Error('a share for a user went to a peer');
  return {
    request: parseUserDecryption(message),
    responses: bodies.map((bytes) => fromBinary(UserDecryptionResponseSchema, bytes)),
    addresses: nodes.map(({ address }) => address),
  };
}

function reconstruct({ request, responses, addresses }: Answers, missing: ReadonlySet<number> = new Set()) {
  const given = responses.filter((_, index) => !missing.has(index + 1));
  return reconstructWithPublishedClient(request, given, keys, addresses);
}

const WANTED = TYPES.map((type) => ({ value: plaintextOf(type), fheType: type.number }));

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
  [13, 4],
] as const) {
  t.test(`(${n}, ${threshold}): the published client reconstructs every type, whoever is missing`, async (t) => {
    const answers = await ask(t, { n, t: threshold }, TYPES);
    for (let count = 0; count <= threshold; count++) {
      for (let first = 1; first <= (count === 0 ? 1 : n); first += Math.ceil(n / 3)) {
        const missing = new Set(Array.from({ length: count }, (_, i) => ((first + i - 1) % n) + 1));
        t.same(reconstruct(answers, missing), WANTED, `without ${[...missing].join(', ')}`);
      }
    }
  });

  t.test(`(${n}, ${threshold}): 2t answers are refused`, async (t) => {
    const answers = await ask(t, { n, t: threshold }, TYPES.slice(0, 2));
    const missing = new Set(Array.from({ length: threshold + 1 }, (_, i) => i + 1));
    t.throws(() => reconstruct(answers, missing));
  });

  for (let bad = 1; bad <= threshold; bad++) {
    t.test(`(${n}, ${threshold}): ${bad} wrong and ${threshold - bad} missing are corrected`, async (t) => {
      const wrong = new Set(Array.from({ length: bad }, (_, i) => 2 * i + 1));
      const answers = await ask(
        t,
        { n, t: threshold, wrong },
        [TYPES[0], TYPES[4]].flatMap((type) => type ?? []),
      );
      const missing = new Set(Array.from({ length: threshold - bad }, (_, i) => n - i));
      const wanted = [WANTED[0], WANTED[4]];
      t.same(reconstruct(answers, missing), wanted);
    });
  }
}

t.test('the published client reconstructs each type out of each format', async (t) => {
  for (const format of [0, 1, 2, 3] as const) {
    t.same(reconstruct(await ask(t, { n: 4, t: 1 }, TYPES, format), new Set([2])), WANTED, FORMATS[format]);
  }
});

t.test('answers name party, degree and packing as the published server does', async (t) => {
  const { responses } = await ask(t, { n: 4, t: 1 }, TYPES.slice(0, 2));
  for (const [index, { payload }] of responses.entries()) {
    t.match(payload, { partyId: index + 1, degree: 1 });
    t.same(
      payload?.signcryptedCiphertexts.map(({ packingFactor }) => packingFactor),
      [1, 2],
    );
  }
});
