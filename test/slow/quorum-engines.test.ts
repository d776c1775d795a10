/**
 * Whole engines under way: certificates of seconds, parties that are killed and started again, one that lies, epochs made
 * meanwhile. Every decryption that is answered is right, and all are answered.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { systemRandom } from '../../common/random.ts';
import { lyingMasks } from '../../enclave/developer/lying-shares.ts';
import {
  NewMpcEpochRequestSchema,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { publicDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { askPublicly, dealKey, numberIn, plaintextOf } from '../helpers/quorum-decryptions.ts';
import { type QuorumEngine, quorumEngines, settled } from '../helpers/quorum-engines.ts';
import { idOf } from '../helpers/requests.ts';

const newEpoch = (number: number): Uint8Array =>
  toBinary(NewMpcEpochRequestSchema, create(NewMpcEpochRequestSchema, { epochId: { requestId: idOf(number) } }));

t.test('no renewal of certificates fails a decryption or an epoch', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll({ leafLifeMs: 3_000 });
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const ciphertext = await evaluation.encrypt(5n, 2, 2);
  const endMs = performance.now() + 12_000;
  for (let round = 0; performance.now() < endMs; round++) {
    const made = Promise.all(engines.map(({ link }) => link.call(ENGINE_METHOD.newEpoch, newEpoch(0x1000 + round))));
    const asked = Array.from({ length: 20 }, () =>
      askPublicly(engines, publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }])),
    );
    const values = new Set((await Promise.all(asked)).flat().map(plaintextOf));
    await made;
    if (values.size !== 1 || !values.has(5n)) t.fail(`round ${round}: ${[...values].join(', ')}`);
  }
  t.pass('all were right');
});

t.test('whoever is killed and started again, with a liar among them, all decryptions come out right', async (t) => {
  const quorum = quorumEngines(t, 7);
  const lie = { quorum: { masksOf: lyingMasks(systemRandom) } };
  const engines: QuorumEngine[] = await Promise.all(
    quorum.parties.map((party) => quorum.start(party, party === 5 ? lie : {})),
  );
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  let done = 0;
  let stop = false;
  /** As a client: asks a party again for as long as it is away. */
  const ask = async (party: number, body: Uint8Array): Promise<Uint8Array> => {
    for (;;) {
      const { link } = present(engines[party - 1]);
      const gone = link.closed.then(() => undefined);
      const answer = await Promise.race([link.call(ENGINE_METHOD.publicDecrypt, body), gone]).catch(() => undefined);
      if (answer) return answer;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const client = async (): Promise<void> => {
    for (let value = 0n; !stop; value = (value + 1n) % 65_536n) {
      const ciphertext = await evaluation.encrypt(value, 3, 2);
      const body = toBinary(PublicDecryptionRequestSchema, publicDecryption(idOf(2), [{ ciphertext, fheType: 3 }]));
      const answers = await Promise.all(quorum.parties.map((party) => ask(party, body)));
      const values = answers.map((answer) => numberIn(fromBinary(PublicDecryptionResponseSchema, answer)));
      if (values.some((found) => found !== value)) t.fail(`${values.join(', ')} in place of ${value}`);
      done += 1;
    }
  };
  const clients = Array.from({ length: 8 }, client);
  for (const party of [1, 7, 3, 2, 6, 4]) {
    const before = done;
    engines[party - 1] = await quorum.restart(present(engines[party - 1]));
    while (done < before + 40) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  stop = true;
  await Promise.all(clients);
  t.ok(done >= 240, `${done} decryptions`);
});
