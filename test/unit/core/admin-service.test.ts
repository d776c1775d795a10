/** The operator's service: what it hands to the engine, and what it makes of the engine's answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import type { AdminDeps } from '../../../parent/core/admin/admin-service.ts';
import { type KmsClient, openKmsClient } from '../../../parent/grpc/client.ts';
import {
  AttestCallSchema,
  AttestResultSchema,
  CustodianContextsSchema,
  GovernanceObjectSchema,
  GovernanceStateSchema,
  PeerTableSchema,
  RecoveryDocumentCallSchema,
  RecoveryDocumentSchema,
  RestoreCallSchema,
  RestoreReportSchema,
} from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { ScriptedEngine } from './scripted-engine.ts';
import { startTestCore } from './test-core.ts';

async function start(
  t: Test,
  admin: Partial<AdminDeps> = {},
): Promise<{ engine: ScriptedEngine; client: KmsClient; logs: readonly string[] }> {
  const dir = mkdtempSync(join(tmpdir(), 'arca-admin-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const adminSocketPath = join(dir, 'run', 'admin.sock');
  const { engine, logs } = await startTestCore(t, { insecure: false, access: { adminSocketPath, admin } });
  const client = openKmsClient(`unix:${adminSocketPath}`);
  t.teardown(() => client.close());
  return { engine, client, logs };
}

t.test('fetches a document over the nonce that was asked for', async (t) => {
  const { engine, client } = await start(t);
  engine.answers.set(ENGINE_METHOD.attest, (body) => {
    const { nonce } = fromBinary(AttestCallSchema, body);
    return toBinary(
      AttestResultSchema,
      create(AttestResultSchema, { document: nonce, network: 'dev:1', incarnation: 3n }),
    );
  });
  const nonce = new Uint8Array(32).fill(9);
  t.match(await client.admin('GetAttestation', { nonce }), { document: nonce, network: 'dev:1', incarnation: 3n });
  for (const sizeBytes of [0, 7, 65]) {
    await t.rejects(
      client.admin('GetAttestation', { nonce: new Uint8Array(sizeBytes) }),
      { name: 'GrpcError', status: 3 },
      `${sizeBytes}`,
    );
  }
});

t.test('hands governance to the engine as it came, and tells the core of the outcome', async (t) => {
  const told: unknown[] = [];
  const { engine, client } = await start(t, { onGovernance: (state) => told.push(state.incarnation) });
  const seen: unknown[] = [];
  engine.answers.set(ENGINE_METHOD.governancePut, (body) => {
    seen.push(fromBinary(GovernanceObjectSchema, body).kind);
    return toBinary(GovernanceStateSchema, create(GovernanceStateSchema, { incarnation: 7n }));
  });
  const state = await client.admin('PutGovernance', { kind: 'release-set', content: new Uint8Array(100) });
  t.equal(state.incarnation, 7n);
  t.strictSame([seen, told], [['release-set'], [7n]]);
});

t.test('tells of a restore that was done, and of no other', async (t) => {
  let restores = 0;
  const onRestored = async (): Promise<void> => {
    restores += 1;
  };
  const { engine, client } = await start(t, { onRestored });
  engine.answers.set(ENGINE_METHOD.restore, (body) => {
    if (fromBinary(RestoreCallSchema, body).headSequence === 9n) throw new KmsError('STATE_INVALID', 'it is older');
    return toBinary(RestoreReportSchema, create(RestoreReportSchema, {}));
  });
  await client.admin('RestoreBackup', { plan: true });
  await t.rejects(client.admin('RestoreBackup', { headSequence: 9n }));
  t.equal(restores, 0);
  await client.admin('RestoreBackup', {});
  t.equal(restores, 1);
});

t.test('hands what is asked of the backup to the engine, and its answer back', async (t) => {
  const { engine, client } = await start(t);
  engine.answers.set(ENGINE_METHOD.restore, (body) => {
    const { plan, headSequence } = fromBinary(RestoreCallSchema, body);
    return toBinary(RestoreReportSchema, create(RestoreReportSchema, { lost: plan, sourceSequence: headSequence }));
  });
  const asked = { plan: true, headSequence: 7n, headDigest: new Uint8Array(48) };
  t.match(await client.admin('RestoreBackup', asked), { lost: true, sourceSequence: 7n });
  const none = (): never => {
    throw new KmsError('PRECONDITION_FAILED', 'this node has no backup vault');
  };
  engine.answers.set(ENGINE_METHOD.backupState, none);
  engine.answers.set(ENGINE_METHOD.backupVerify, none);
  engine.answers.set(ENGINE_METHOD.backupDrill, none);
  for (const rpc of ['GetBackup', 'VerifyBackup', 'DrillBackup'] as const) {
    await t.rejects(client.admin(rpc, {}), { name: 'GrpcError', status: 9 }, rpc);
  }
});

t.test('shows the peers of the engine and those of the core', async (t) => {
  const { engine, client } = await start(t, { corePeers: () => [{ role: 'engine', party: 1, reachable: true }] });
  engine.answers.set(ENGINE_METHOD.peers, () =>
    toBinary(PeerTableSchema, create(PeerTableSchema, { peers: [{ role: 'core', party: 1, attested: true }] })),
  );
  const { peers } = await client.admin('ListPeers', {});
  t.match(peers, [
    { role: 'core', attested: true },
    { role: 'engine', reachable: true },
  ]);
});

t.test('while the engine is not connected, the table says why', async (t) => {
  const refused = { role: 'engine', party: 1, reachable: true, reason: 'the mesh peer refused us: measurement' };
  const { engine, client } = await start(t, { corePeers: () => [refused] });
  engine.become('disconnected');
  t.match((await client.admin('ListPeers', {})).peers, [refused]);
});

t.test("fails with the engine's own word", async (t) => {
  const { engine, client } = await start(t);
  const cases = [
    [new KmsError('ATTESTATION_REJECTED', 'an older version than was seen', { version: 2 }), 7],
    [new KmsError('APPROVAL_MISSING', 'needs signatures', { proposalDigest: 'ab' }), 9],
    [new KmsError('UNAVAILABLE', 'the engine is down'), 14],
  ] as const;
  for (const [error, status] of cases) {
    engine.answers.set(ENGINE_METHOD.governancePut, () => Promise.reject(error));
    await t.rejects(client.admin('PutGovernance', { kind: 'record' }), {
      name: 'GrpcError',
      status,
      explanation: error.message,
    });
  }
});

t.test('refuses what is no request of the service', async (t) => {
  const { client } = await start(t);
  for (const rpc of ['GetAttestation', 'GetGovernance', 'PutGovernance', 'ListPeers', 'GetQuorum']) {
    await t.rejects(
      client.callRaw(`/arca.v1.AdminService/${rpc}`, Uint8Array.of(0xff, 0xff)),
      { name: 'GrpcError', status: 3 },
      rpc,
    );
    await t.rejects(
      client.callRaw(`/arca.v1.AdminService/${rpc}`, new Uint8Array(300_000)),
      { name: 'GrpcError', status: 8 },
      rpc,
    );
  }
});

t.test('custodian contexts and documents over a recovery request come from the engine', async (t) => {
  const { engine, client } = await start(t);
  engine.answers.set(ENGINE_METHOD.custodianContexts, () =>
    toBinary(CustodianContextsSchema, create(CustodianContextsSchema, { recovering: 'c1' })),
  );
  t.match(await client.admin('ListCustodianContexts', {}), { recovering: 'c1' });
  engine.answers.set(ENGINE_METHOD.recoveryDocument, (body) => {
    const { challenge: document } = fromBinary(RecoveryDocumentCallSchema, body);
    return toBinary(RecoveryDocumentSchema, create(RecoveryDocumentSchema, { document }));
  });
  const challenge = new Uint8Array(16).fill(5);
  t.match(await client.admin('GetRecoveryDocument', { challenge }), { document: challenge });
});

t.test('a node that waits for its restore is part of no quorum yet, and says why', async (t) => {
  const { engine, client, logs } = await start(t);
  engine.answers.set(ENGINE_METHOD.status, () => new Uint8Array());
  await t.rejects(client.admin('GetQuorum', {}), { name: 'GrpcError', status: 12 }, 'centralized');
  engine.loseVault();
  await t.rejects(client.admin('GetQuorum', {}), { name: 'GrpcError', status: 9 });
  engine.answers.set(ENGINE_METHOD.quorumRestart, () => {
    throw new KmsError('PRECONDITION_FAILED', 'it waits for nothing');
  });
  await t.rejects(client.admin('RestartQuorum', {}), { name: 'GrpcError', status: 9 });
  const failed = logs.map((line) => JSON.parse(line)).filter(({ event }) => event === 'admin.failed');
  const levels = ['debug GetQuorum', 'debug GetQuorum', 'warn RestartQuorum'];
  t.same(
    failed.map(({ level, rpc }) => `${level} ${rpc}`),
    levels,
    'who only asks is not worth a warning',
  );
});
