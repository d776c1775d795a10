/**
 * A party of a quorum loses its vault for good and comes back from two of three custodians: peers confirm it, and node-tkms 0.12.8
 * opens what it answers, as before.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { clearKeyring } from '../../enclave/seal/clear-keyring.ts';
import { sealedVault } from '../../enclave/vault/sealed-vault.ts';
import type { EvaluationKeys } from '../../native/engine/public.ts';
import { CustodianContextsSchema, CustodianRecoverySchema, EngineInfoSchema } from '../../proto/gen/engine_pb.js';
import {
  CustodianRecoveryInitRequestSchema,
  RecoveryRequestSchema,
  UserDecryptionRequestSchema,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { newUser, userDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { dealKey } from '../helpers/quorum-decryptions.ts';
import { type QuorumEngine, quorumEngines, settled } from '../helpers/quorum-engines.ts';
import { idOf } from '../helpers/requests.ts';
import { idOf as contextId, newContextBody, recoveryBody } from '../unit/custodians/scene.ts';

const VALUE = { value: 0x0123_4567_89ab_cdefn, fheType: 5 };
const CONTEXT = contextId(0xc1);
const user = newUser();

/** Asks all for one user and opens with the published client, without the last party: every other answer counts. */
async function decrypt(engines: readonly QuorumEngine[], evaluation: EvaluationKeys, addresses: Uint8Array[]) {
  const ciphertext = await evaluation.encrypt(VALUE.value, VALUE.fheType, 2);
  const message = userDecryption(idOf(2), [{ ciphertext, fheType: VALUE.fheType, format: 2 }], user);
  const body = toBinary(UserDecryptionRequestSchema, message);
  const answers = await Promise.all(
    engines.map(async ({ link }) =>
      fromBinary(UserDecryptionResponseSchema, await link.call(ENGINE_METHOD.userDecrypt, body)),
    ),
  );
  return reconstructWithPublishedClient(parseUserDecryption(message), answers.slice(0, 3), user, addresses);
}

t.test('a party whose vault is gone comes back from two custodians, and decrypts as before', async (t) => {
  const quorum = quorumEngines(t, 4);
  const vaults = new Map<number, Storage>(quorum.parties.map((party) => [party, openMemoryStorage()]));
  const backups = new Map(quorum.parties.map((party) => [party, openMemoryStorage()]));
  const start = (party: number): Promise<QuorumEngine> =>
    quorum.start(party, {
      openVault: sealedVault({
        storage: present(vaults.get(party)),
        rootKey: async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: false }),
        needsFence: false,
        hasBackup: true,
      }),
      openBackup: async () => ({
        storage: present(backups.get(party)),
        key: undefined,
        needsFence: false,
        close: () => undefined,
      }),
    });
  const engines = await Promise.all(quorum.parties.map(start));
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const addresses = await Promise.all(engines.map(async ({ describe }) => (await describe()).address));
  const first = present(engines[0]);
  await first.link.call(ENGINE_METHOD.newCustodianContext, newContextBody(CONTEXT));
  t.same(await decrypt(engines, evaluation, addresses), [VALUE], 'before');

  await first.stop();
  vaults.set(1, openMemoryStorage());
  const lost = await start(1);
  t.equal(fromBinary(EngineInfoSchema, await lost.link.call(ENGINE_METHOD.describe)).awaitsRestore, true);
  const init = create(CustodianRecoveryInitRequestSchema, {});
  const asked = await lost.link.call(ENGINE_METHOD.recoveryInit, toBinary(CustodianRecoveryInitRequestSchema, init));
  const answers = recoveryBody(CONTEXT, fromBinary(RecoveryRequestSchema, asked), [2, 3]);
  const done = fromBinary(CustodianRecoverySchema, await lost.link.call(ENGINE_METHOD.custodianRecovery, answers));
  t.ok(done.restored >= 6, `${done.restored} objects: key, certificate, governance, epoch, shares, book`);
  await lost.stop();

  engines[0] = await start(1);
  await settled(engines);
  t.same((await engines[0].describe()).address, addresses[0], 'the same node');
  t.same(await decrypt(engines, evaluation, addresses), [VALUE], 'after');
  const state = fromBinary(CustodianContextsSchema, await engines[0].link.call(ENGINE_METHOD.custodianContexts));
  t.match(state.contexts, [{ contextId: CONTEXT, active: true, spent: true }]);
  await engines[0].link.call(ENGINE_METHOD.newCustodianContext, newContextBody(contextId(0xc2)));
});
