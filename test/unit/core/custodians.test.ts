/** Custodian and backup RPCs of a node with a backup vault: what the engine says is what the client hears. */

import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import {
  CustodianRecoveryInitRequestSchema,
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { idBody, idOf, newCustodianContext, publicDecryption } from './requests.ts';
import { startTestCore } from './test-core.ts';

const EMPTY = new Uint8Array(0);
const A = idOf('a');
const destroy = toBinary(
  DestroyCustodianContextRequestSchema,
  create(DestroyCustodianContextRequestSchema, { contextId: { requestId: A } }),
);
const init = toBinary(
  CustodianRecoveryInitRequestSchema,
  create(CustodianRecoveryInitRequestSchema, { overwriteEphemeralKey: true }),
);
const recovery = toBinary(
  CustodianRecoveryRequestSchema,
  create(CustodianRecoveryRequestSchema, {
    custodianContextId: { requestId: A },
    custodianRecoveryOutputs: [{ custodianRole: 1n }],
  }),
);
const RPCS = [
  ['NewCustodianContext', ENGINE_METHOD.newCustodianContext, newCustodianContext(A, DEFAULT_CONTEXT_ID)],
  ['DestroyCustodianContext', ENGINE_METHOD.destroyCustodianContext, destroy],
  ['GetOperatorPublicKey', ENGINE_METHOD.operatorPublicKey, EMPTY],
  ['CustodianRecoveryInit', ENGINE_METHOD.recoveryInit, init],
  ['CustodianBackupRecovery', ENGINE_METHOD.custodianRecovery, recovery],
  ['RestoreFromBackup', ENGINE_METHOD.restore, EMPTY],
] as const;

t.test('each RPC hands the request to the engine as it came, and its refusal to the client', async (t) => {
  const { engine, status } = await startTestCore(t, { hasBackupVault: true });
  const codes = [
    ['REQUEST_INVALID', 'INVALID_ARGUMENT'],
    ['ALREADY_EXISTS', 'ALREADY_EXISTS'],
    ['NOT_FOUND', 'NOT_FOUND'],
    ['APPROVAL_MISSING', 'FAILED_PRECONDITION'],
    ['PRECONDITION_FAILED', 'FAILED_PRECONDITION'],
    ['TASK_FAILED', 'INTERNAL'],
    ['UNIMPLEMENTED', 'UNIMPLEMENTED'],
    ['UNAVAILABLE', 'UNAVAILABLE'],
  ] as const;
  for (const [rpc, method, body] of RPCS) {
    engine.answers.set(method, () => EMPTY);
    engine.calls.length = 0;
    t.equal(await status(rpc, body), 'OK', rpc);
    t.same(engine.calls, [{ method, body: Buffer.from(body) }], `${rpc}: one call`);
    for (const [code, expected] of codes) {
      engine.answers.set(method, () => Promise.reject(new KmsError(code, 'the engine says so')));
      t.equal(await status(rpc, body), expected, `${rpc}: ${code}`);
    }
    engine.become('disconnected');
    t.equal(await status(rpc, body), 'UNAVAILABLE', `${rpc}: without an engine`);
    engine.become('connected');
  }
});

t.test('answers of the engine reach the client byte for byte', async (t) => {
  const { engine, raw } = await startTestCore(t, { hasBackupVault: true });
  for (const [rpc, method, body] of RPCS.slice(2, 4)) {
    engine.answers.set(method, () => Uint8Array.of(10, 2, 7, 7));
    t.same(await raw(rpc, body), Buffer.of(10, 2, 7, 7), rpc);
  }
});

t.test('new recovery material is published once the context is in force, and not before', async (t) => {
  const { engine, published, status } = await startTestCore(t, { hasBackupVault: true });
  engine.answers.set(ENGINE_METHOD.newCustodianContext, () => Promise.reject(new KmsError('TASK_FAILED', 'no')));
  await status('NewCustodianContext', newCustodianContext(A, DEFAULT_CONTEXT_ID));
  t.equal(published.length, 0);
  engine.answers.set(ENGINE_METHOD.newCustodianContext, () => EMPTY);
  await status('NewCustodianContext', newCustodianContext(A, DEFAULT_CONTEXT_ID));
  t.equal(published.length, 1);
});

t.test('recovery material is withdrawn once its context is destroyed, and not before', async (t) => {
  const { engine, published, withdrawn, status } = await startTestCore(t, { hasBackupVault: true });
  engine.answers.set(ENGINE_METHOD.destroyCustodianContext, () => Promise.reject(new KmsError('NOT_FOUND', 'no')));
  await status('DestroyCustodianContext', destroy);
  t.same(withdrawn, []);
  engine.answers.set(ENGINE_METHOD.destroyCustodianContext, () => EMPTY);
  t.equal(await status('DestroyCustodianContext', destroy), 'OK');
  t.same(withdrawn, [`RecoveryMaterial/${A}`]);
  t.equal(published.length, 1, 'and the rest is no longer compared with it');
});

t.test('bad requests do not reach the engine', async (t) => {
  const { engine, status } = await startTestCore(t, { hasBackupVault: true });
  engine.calls.length = 0;
  t.equal(await status('NewCustodianContext', newCustodianContext(A, idOf('b'))), 'INVALID_ARGUMENT', 'MPC context');
  t.equal(await status('NewCustodianContext', newCustodianContext(A, DEFAULT_CONTEXT_ID, 2)), 'INVALID_ARGUMENT');
  for (const [rpc] of RPCS) t.equal(await status(rpc, Uint8Array.of(0xff)), 'INVALID_ARGUMENT', rpc);
  t.same(engine.calls, []);
});

t.test('a node that has lost its vault serves a restore and what shows how it is, and nothing else', async (t) => {
  const { engine, status } = await startTestCore(t, { hasBackupVault: true });
  engine.loseVault();
  for (const [rpc, method, body] of RPCS.slice(2)) {
    engine.answers.set(method, () => EMPTY);
    t.equal(await status(rpc, body), 'OK', rpc);
  }
  for (const rpc of ['GetHealthStatus', 'GetKeyMaterialAvailability']) t.equal(await status(rpc, EMPTY), 'OK', rpc);
  const refused: readonly [string, Uint8Array][] = [
    ['PublicDecrypt', publicDecryption(A)],
    ['GetKeyGenResult', idBody(A)],
    ['NewCustodianContext', newCustodianContext(A, DEFAULT_CONTEXT_ID)],
    ['DestroyCustodianContext', destroy],
  ];
  for (const [rpc, body] of refused) t.equal(await status(rpc, body), 'FAILED_PRECONDITION', rpc);
});
