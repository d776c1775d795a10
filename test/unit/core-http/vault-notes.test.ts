/** What `/ready` and the metrics tell of starts, root keys and backups, from what the engine says of them. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createRegistry } from '../../../common/metrics.ts';
import { registerStartMetrics, type StartMetricsDeps } from '../../../parent/core/metrics/start-metrics.ts';
import { vaultNotes } from '../../../parent/core/vault-notes.ts';
import { type BackupStatusSchema, EngineStatusSchema, VaultStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';

type Engine = StartMetricsDeps['engine'] & { state: 'connected' | 'disconnected' };

function engineWith(
  vault: MessageInitShape<typeof VaultStatusSchema> | undefined,
  backup?: MessageInitShape<typeof BackupStatusSchema>,
): Engine {
  return {
    state: 'connected',
    call: async (method) => {
      if (method === ENGINE_METHOD.status) {
        return toBinary(EngineStatusSchema, create(EngineStatusSchema, backup ? { backup } : {}));
      }
      if (vault) return toBinary(VaultStatusSchema, create(VaultStatusSchema, vault));
      throw new KmsError('UNIMPLEMENTED', 'no such call');
    },
  };
}

t.test('a vault that is well has no notes', async (t) => {
  t.same(await vaultNotes(engineWith({ keychain: 'clear' }))(), []);
  t.same(await vaultNotes(engineWith({ sealed: true }, { behind: 0n }))(), []);
});

t.test('a root key that does not answer, and a backup that is behind, are named', async (t) => {
  const keyTrouble = 'GenerateDataKey: AWS KMS asks for fewer requests';
  const behind = { behind: 3n, behindMs: 61_400n };
  t.same(await vaultNotes(engineWith({ sealed: true, keyTrouble }, behind))(), [
    `root key: ${keyTrouble}`,
    'backup: 3 objects behind, for 61 s',
  ]);
  const failed = { ...behind, failureCode: 'STORAGE_FULL', failure: 'no room' };
  t.same(await vaultNotes(engineWith(undefined, failed))(), [
    'backup: 3 objects behind, for 61 s; the last attempt failed: no room (STORAGE_FULL)',
  ]);
});

t.test('an engine that is away says nothing', async (t) => {
  const engine = engineWith({ sealed: true, keyTrouble: 'x' });
  engine.state = 'disconnected';
  t.same(await vaultNotes(engine)(), []);
});

t.test(
  'metrics of a start: of the vault alone, with its confirmation, and none while the engine is away',
  async (t) => {
    const start = { phase: 'waiting', acknowledged: [2], needed: 2, refused: [{ party: 3, reason: 'older' }] };
    let status: MessageInitShape<typeof VaultStatusSchema> = { incarnation: 4n };
    const engine = engineWith(undefined);
    engine.call = async () => toBinary(VaultStatusSchema, create(VaultStatusSchema, status));
    let looks = 0;
    const registry = createRegistry();
    registerStartMetrics(registry, { engine, clock: { nowMs: () => 0, monotonicMs: () => ++looks * 1000 } });
    const lines = async () =>
      (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    t.same(await lines(), ['kms_start_incarnation 4']);
    status = { incarnation: 5n, sealed: true, restored: true, keyTrouble: 'x', start };
    t.same(await lines(), [
      'kms_start_incarnation 5',
      'kms_start_restored 1',
      'kms_start_key_trouble 1',
      'kms_start_confirmed 0',
      'kms_start_awaits_governance 0',
      'kms_start_acknowledgements 1',
      'kms_start_acknowledgements_needed 2',
      'kms_start_refusals 1',
    ]);
    status = { incarnation: 5n, sealed: true, start: { ...start, phase: 'reshare-due' } };
    t.match(await lines(), [
      'kms_start_incarnation 5',
      'kms_start_restored 0',
      /./,
      /./,
      'kms_start_awaits_governance 1',
    ]);
    engine.state = 'disconnected';
    t.same(await lines(), []);
  },
);
