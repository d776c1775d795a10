/**
 * node-tkms 0.12.8 opens what whole engines answer a user, under a key that the same engines were dealt: every type, every
 * format, with a party missing and with one whose masks are wrong, before and after the engines were restarted.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { systemRandom } from '../../common/random.ts';
import { lyingMasks } from '../../enclave/developer/lying-shares.ts';
import type { EvaluationKeys } from '../../native/engine/public.ts';
import { UserDecryptionRequestSchema, UserDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { FHE_TYPES } from '../../wire/fhe-types.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { LogLine } from '../helpers/engine-network.ts';
import { FORMATS } from '../helpers/fhe-key-set.ts';
import { newUser, userDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { dealKey } from '../helpers/quorum-decryptions.ts';
import { type QuorumEngine, quorumEngines, settled } from '../helpers/quorum-engines.ts';
import { idOf } from '../helpers/requests.ts';

const user = newUser();
const TYPES = FHE_TYPES.filter((type) => type.abiEncodable);
const VALUES = TYPES.map(({ number, bits }) => ({
  value: number === 0 ? 1n : (1n << BigInt(bits)) - 3n,
  fheType: number,
}));

async function ask(engines: readonly QuorumEngine[], evaluation: EvaluationKeys, format: 0 | 1 | 2 | 3) {
  const ciphertexts = [];
  for (const { value, fheType } of VALUES) {
    ciphertexts.push({ ciphertext: await evaluation.encrypt(value, fheType, format), fheType, format });
  }
  const message = userDecryption(idOf(2), ciphertexts, user);
  const body = toBinary(UserDecryptionRequestSchema, message);
  const answers = await Promise.all(
    engines.map(async ({ link }) =>
      fromBinary(UserDecryptionResponseSchema, await link.call(ENGINE_METHOD.userDecrypt, body)),
    ),
  );
  return { request: parseUserDecryption(message), answers };
}

/** Addresses of the parties, in their order. */
async function addressesOf(engines: readonly QuorumEngine[]): Promise<Uint8Array[]> {
  return await Promise.all(engines.map(async ({ describe }) => (await describe()).address));
}

/** The line that says what came of the opening of zero; it comes when it comes. */
async function checkOf(log: QuorumEngine['log']): Promise<LogLine> {
  for (;;) {
    const line = log.find(({ event }) => event === 'quorum.check');
    if (line) return line;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

t.test('the published client opens every type and format, whoever is missing', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const addresses = await addressesOf(engines);
  for (const format of [0, 1, 2, 3] as const) {
    const { request, answers } = await ask(engines, evaluation, format);
    for (const missing of [undefined, 0, 3]) {
      const given = answers.filter((_, index) => index !== missing);
      t.same(reconstructWithPublishedClient(request, given, user, addresses), VALUES, FORMATS[format]);
    }
    t.throws(() => reconstructWithPublishedClient(request, answers.slice(0, 2), user, addresses), '2t answers');
  }
  const again = await Promise.all(engines.map((engine) => quorum.restart(engine)));
  const { request, answers } = await ask(again, evaluation, 2);
  t.same(reconstructWithPublishedClient(request, answers, user, addresses), VALUES, 'after a restart of all');
  for (const { log } of again) t.match(await checkOf(log), { level: 'info', keyId: idOf(2) }, 'the key was checked');
});

t.test('the published client corrects a party whose masks are wrong', async (t) => {
  const quorum = quorumEngines(t, 4);
  const lying = { quorum: { masksOf: lyingMasks(systemRandom) } };
  const engines = await Promise.all(quorum.parties.map((party) => quorum.start(party, party === 2 ? lying : {})));
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const { request, answers } = await ask(engines, evaluation, 2);
  const opened = reconstructWithPublishedClient(request, answers, user, await addressesOf(engines));
  t.same(opened, VALUES);
  t.equal(present(answers[1]).payload?.partyId, 2, 'its answer is there');
});
