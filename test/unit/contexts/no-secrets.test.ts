/**
 * Whole engines of a quorum at their most talkative, with a liar, a restart and failures: no key share, mask key, masked
 * share or user's plaintext stands in a log, in an error, or in an inspected object.
 */
import { inspect } from 'node:util';
import { toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { createLogger } from '../../../common/log.ts';
import { systemRandom } from '../../../common/random.ts';
import { decodeEpochData } from '../../../enclave/contexts/epoch-data.ts';
import { lyingMasks } from '../../../enclave/developer/lying-shares.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { KeyShares, MaskKeys, partialDecrypt } from '../../../native/engine/index.ts';
import { UserDecryptionRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, idBytes, parseRequestId } from '../../../wire/ids.ts';
import { findLeaks, type Secret } from '../../helpers/find-leaks.ts';
import { newUser, publicDecryption, userDecryption } from '../../helpers/party-requests.ts';
import { present } from '../../helpers/present.ts';
import { askPublicly, dealKey, plaintextOf } from '../../helpers/quorum-decryptions.ts';
import { type QuorumEngines, quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { idOf } from '../../helpers/requests.ts';

const USER_VALUE = 0xfeed_5eed_2468_ace1n;
const KEY = parseRequestId(idOf(2));
/** Shares are many: a part of them is looked for. */
const SHARE_BYTES = 32 * 1024;

/** What a party's vault holds, and what it makes of a ciphertext. */
async function secretsOf(quorum: QuorumEngines, party: number, ciphertext: Uint8Array): Promise<Secret[]> {
  const vault = new PrivateVault(clearKeeper(present(quorum.storages.get(party))));
  const ids = { contextId: idBytes(DEFAULT_CONTEXT_ID), epochId: idBytes(DEFAULT_EPOCH_ID), keyId: idBytes(KEY) };
  return await vault.read(['EpochData', DEFAULT_EPOCH_ID], (epoch) =>
    vault.read(['FheKeyInfo', DEFAULT_EPOCH_ID, KEY], async (content) => {
      const data = decodeEpochData(epoch);
      using masks = MaskKeys.fromKeys(data);
      using shares = KeyShares.fromBytes(content);
      const items = [{ ciphertext, fheType: 5, format: 2 }];
      const [masked] = await partialDecrypt({ shares, masks, ...ids, items });
      return [
        ...data.keys.map((key) => ({ name: `mask key of party ${party}`, bytes: Uint8Array.from(key) })),
        { name: `key share of party ${party}`, bytes: content.slice(-SHARE_BYTES - 64, -64) },
        { name: `masked share of party ${party}`, bytes: present(masked) },
      ];
    }),
  );
}

t.test('nothing secret is in what the engines of a quorum tell', async (t) => {
  const quorum = quorumEngines(t, 4);
  const first = await quorum.startAll();
  await settled(first);
  const evaluation = await dealKey(t, quorum, first);
  const told: string[] = [];
  const log = createLogger({
    name: 'engine',
    level: 'trace',
    destination: { write: (text: string) => void told.push(text) },
  });
  const lie = { masksOf: lyingMasks(systemRandom) };
  const engines = await Promise.all(
    first.map((engine) => quorum.restart(engine, engine.party === 2 ? { log, quorum: lie } : { log })),
  );

  const [shown, hidden] = await Promise.all([evaluation.encrypt(42n, 5, 2), evaluation.encrypt(USER_VALUE, 5, 2)]);
  const answers = await askPublicly(engines, publicDecryption(KEY, [{ ciphertext: shown, fheType: 5 }]));
  t.same(answers.map(plaintextOf), [42n, 42n, 42n, 42n]);
  const user = newUser();
  const own = toBinary(UserDecryptionRequestSchema, userDecryption(KEY, [{ ciphertext: hidden, fheType: 5 }], user));
  await Promise.all(engines.map(({ link }) => link.call(ENGINE_METHOD.userDecrypt, own)));
  // Faults are where logs talk most.
  const bad = [shown.subarray(1), new Uint8Array(), Uint8Array.of(...shown, 1)].map((ciphertext) =>
    askPublicly(engines, publicDecryption(KEY, [{ ciphertext, fheType: 5 }])),
  );
  for (const failed of (await Promise.all(bad)).flat()) {
    t.equal(failed.status, 'rejected');
    if (failed.status === 'rejected') told.push(inspect(failed.reason, { depth: 6 }));
  }
  told.push(inspect(engines, { depth: 6 }));

  const text = told.join('\n');
  t.match(text, /quorum\.fault/, 'there is a fault among it');
  t.ok(text.includes(DEFAULT_EPOCH_ID), 'and ids are');
  const plaintext = new Uint8Array(8);
  new DataView(plaintext.buffer).setBigUint64(0, USER_VALUE, true);
  const secrets: Secret[] = [{ name: "the user's plaintext", bytes: plaintext }];
  for (const party of quorum.parties) {
    secrets.push(...(await secretsOf(quorum, party, shown)), ...(await secretsOf(quorum, party, hidden)));
  }
  t.same(findLeaks(text, secrets), []);
  const [leaked] = secrets.slice(1);
  t.same(
    findLeaks(`${text} ${Buffer.from(present(leaked).bytes).toString('hex')}`, secrets).length,
    1,
    'it would be seen',
  );
});
