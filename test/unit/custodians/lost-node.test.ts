/**
 * A node that loses its whole private vault and gets it back from its custodians: real engines over the real mesh, sealed vaults,
 * the backup that follows them.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  CustodianContextsSchema,
  CustodianRecoverySchema,
  EngineInfoSchema,
  RecoveryDocumentCallSchema,
  RecoveryDocumentSchema,
} from '../../../proto/gen/engine_pb.js';
import {
  CustodianRecoveryInitRequestSchema,
  OperatorPublicKeySchema,
  type RecoveryRequest,
  RecoveryRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { startSealedNode } from '../../helpers/sealed-node.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { crsGenCall, describe, makeKey } from '../../helpers/test-engine.ts';
import { idOf, newContextBody, recoveryBody } from './scene.ts';

/** Starts the node of a folder over these storages. */
const startNode = (t: Test, folder: string, vault: Storage, backup: Storage) =>
  startSealedNode(t, { folder, vault, backup: { storage: backup } });

async function beginRecovery(link: EngineTestLink, overwriteEphemeralKey = false): Promise<RecoveryRequest> {
  const call = create(CustodianRecoveryInitRequestSchema, { overwriteEphemeralKey });
  const body = toBinary(CustodianRecoveryInitRequestSchema, call);
  return fromBinary(RecoveryRequestSchema, await link.call(ENGINE_METHOD.recoveryInit, body));
}

const contextsOf = async (link: EngineTestLink) =>
  fromBinary(CustodianContextsSchema, await link.call(ENGINE_METHOD.custodianContexts));

t.test('a node that has lost its vault comes back from t + 1 custodians with its keys', async (t) => {
  const folder = tempDir(t);
  const backup = openMemoryStorage();
  const first = await startNode(t, folder, openMemoryStorage(), backup);
  const link = await first.link();
  const { keyId } = await makeKey(t, link);
  await link.call(ENGINE_METHOD.newCustodianContext, newContextBody(idOf(1)));
  const before = await describe(link);
  t.ok(
    before.identityObjects.some(({ type, id }) => type === 'RecoveryMaterial' && id === idOf(1)),
    'the recovery material is published',
  );
  t.match(await contextsOf(link), { contexts: [{ contextId: idOf(1), active: true, spent: false }] });
  const operator = fromBinary(OperatorPublicKeySchema, await link.call(ENGINE_METHOD.operatorPublicKey));
  t.equal(operator.publicKey.byteLength, 869);
  t.ok(operator.attestationDocument.byteLength > 1000);
  await first.stop();

  const restored = openMemoryStorage();
  const lost = await startNode(t, folder, restored, backup);
  t.match(lost.engine.facts, { awaitsRestore: true });
  const waiting = await lost.link();
  t.equal(fromBinary(EngineInfoSchema, await waiting.call(ENGINE_METHOD.describe)).awaitsRestore, true);
  for (const method of [ENGINE_METHOD.publicDecrypt, ENGINE_METHOD.crsGen, ENGINE_METHOD.newCustodianContext]) {
    const body = method === ENGINE_METHOD.crsGen ? crsGenCall() : new Uint8Array();
    await t.rejects(waiting.call(method, body), { code: 'PRECONDITION_FAILED' }, `method ${method}`);
  }
  const request = await beginRecovery(waiting);
  t.equal((await contextsOf(waiting)).recovering, idOf(1));
  const challenge = toBinary(
    RecoveryDocumentCallSchema,
    create(RecoveryDocumentCallSchema, { challenge: new Uint8Array(16).fill(1) }),
  );
  const document = fromBinary(RecoveryDocumentSchema, await waiting.call(ENGINE_METHOD.recoveryDocument, challenge));
  t.same(document.address, before.address, 'the document names the node that the record names');
  await t.rejects(waiting.call(ENGINE_METHOD.custodianRecovery, recoveryBody(idOf(1), request, [2])), {
    code: 'REQUEST_INVALID',
  });
  t.same(
    (await restored.list([])).filter((name) => name !== 'Manifest'),
    [],
    'nothing is written before it is sure',
  );
  const answers = recoveryBody(idOf(1), request, [3, 1]);
  const answer = fromBinary(CustodianRecoverySchema, await waiting.call(ENGINE_METHOD.custodianRecovery, answers));
  t.ok(answer.restored >= 4, `${answer.restored} objects`);
  t.same(answer.used, [1, 3]);
  await lost.stop();

  const third = await startNode(t, folder, restored, backup);
  const again = await third.link();
  const after = await describe(again);
  t.same(after.address, before.address);
  t.same(
    after.keys.map((key) => key.keyId),
    [keyId],
  );
  t.match(await contextsOf(again), { contexts: [{ contextId: idOf(1), active: true, spent: true }] });
  await t.rejects(again.call(ENGINE_METHOD.operatorPublicKey), { code: 'UNAVAILABLE' }, 'no key in force');
  await again.call(ENGINE_METHOD.newCustodianContext, newContextBody(idOf(2)));
  t.match(await contextsOf(again), {
    contexts: [{ active: false }, { contextId: idOf(2), active: true, spent: false }],
  });
});

t.test('a node that dies once it has its key back knows that its custodians are used up', async (t) => {
  const folder = tempDir(t);
  const backup = openMemoryStorage();
  const first = await startNode(t, folder, openMemoryStorage(), backup);
  await (await first.link()).call(ENGINE_METHOD.newCustodianContext, newContextBody(idOf(1)));
  await first.stop();
  const restored = openMemoryStorage();
  const lost = await startNode(t, folder, dyingWithKey(restored), backup);
  const waiting = await lost.link();
  const answers = recoveryBody(idOf(1), await beginRecovery(waiting), [1, 2]);
  await waiting.call(ENGINE_METHOD.custodianRecovery, answers).catch(() => undefined);
  await lost.stop();
  const again = await startNode(t, folder, restored, backup);
  t.notOk(again.engine.facts.awaitsRestore, 'it starts');
  t.match(await contextsOf(await again.link()), { contexts: [{ contextId: idOf(1), active: true, spent: true }] });
});

/** Storage of a process that is killed as soon as its vault's manifest names the signing key. */
function dyingWithKey(storage: Storage): Storage {
  let left = Number.POSITIVE_INFINITY;
  const step = (): void => {
    if (left-- <= 0) throw new KmsError('UNAVAILABLE', 'killed');
  };
  return {
    ...storage,
    put: async (path, ...args) => {
      step();
      if (path[0] === 'SigningKey') left = 1;
      return await storage.put(path, ...args);
    },
    swap: async (...args) => {
      step();
      return await storage.swap(...args);
    },
  };
}

t.test('what somebody plants in the backup storage of a lost node is refused by name', async (t) => {
  const folder = tempDir(t);
  const backup = openMemoryStorage();
  const node = await startNode(t, folder, openMemoryStorage(), backup);
  await (await node.link()).call(ENGINE_METHOD.newCustodianContext, newContextBody(idOf(1)));
  await node.stop();
  const elsewhere = openMemoryStorage();
  const other = await startNode(t, tempDir(t), openMemoryStorage(), elsewhere);
  await (await other.link()).call(ENGINE_METHOD.newCustodianContext, newContextBody(idOf(9)));
  await other.stop();
  const own = {
    statement: await backup.get(['Custodians', 'active']),
    material: await backup.get(['RecoveryMaterial', idOf(1)]),
  };
  const planted = {
    statement: await elsewhere.get(['Custodians', 'active']),
    material: await elsewhere.get(['RecoveryMaterial', idOf(9)]),
  };

  const lost = await startNode(t, folder, openMemoryStorage(), backup);
  const link = await lost.link();
  await backup.put(['RecoveryMaterial', idOf(9)], planted.material);
  await backup.put(['Custodians', 'active'], planted.statement, { replace: true });
  await t.rejects(beginRecovery(link), { code: 'REQUEST_INVALID', message: /another charter.*another node/ });
  await backup.put(['Custodians', 'active'], own.statement, { replace: true });
  await backup.put(['RecoveryMaterial', idOf(1)], planted.material, { replace: true });
  await t.rejects(beginRecovery(link), { code: 'REQUEST_INVALID', message: /another than the node stated/ });
  await backup.delete(['RecoveryMaterial', idOf(1)]);
  await t.rejects(beginRecovery(link), {
    code: 'PRECONDITION_FAILED',
    message: new RegExp(`no recovery material of custodian context ${idOf(1)}`),
  });
  await backup.put(['RecoveryMaterial', idOf(1)], own.material);
  for (const at of [0, 63, 70, own.statement.byteLength - 1]) {
    const changed = own.statement.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    await backup.put(['Custodians', 'active'], changed, { replace: true });
    await t.rejects(beginRecovery(link), { code: 'REQUEST_INVALID' }, `byte ${at} of the statement`);
  }
  await backup.delete(['Custodians', 'active']);
  await t.rejects(beginRecovery(link), { code: 'PRECONDITION_FAILED' }, 'no statement');
  await backup.put(['Custodians', 'active'], own.statement);
  t.equal(Object.keys((await beginRecovery(link)).cts).length, 3, 'and put right again, the recovery begins');
});
