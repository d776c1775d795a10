/** What the Core tells of its engine's attester: an alarm while it fails, a reason once its certificate has ended. */
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { createRegistry } from '../../../common/metrics.ts';
import { watchEngineAttester } from '../../../parent/core/mesh/engine-attester.ts';
import { EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { ScriptedEngine } from './scripted-engine.ts';

const ENDS_MS = 1_800_000_000_000;

t.test(
  'a failing attester is an alarm at once, and a reason not to serve once its certificate has ended',
  async (t) => {
    const now = { ms: ENDS_MS - 60_000 };
    const watch = watchEngineAttester({ nowMs: () => now.ms, monotonicMs: () => 0 });
    const registry = createRegistry({});
    watch.registerMetrics(registry);
    const scrape = async () =>
      (await registry.metrics()).split('\n').filter((line) => line.startsWith('kms_mesh_engine'));
    t.same(await scrape(), [], 'nothing is known before the engine was asked');
    const engine = new ScriptedEngine();
    const says = (failedRenewals: number) =>
      engine.answers.set(ENGINE_METHOD.status, () =>
        toBinary(
          EngineStatusSchema,
          create(EngineStatusSchema, { failedRenewals, certificateExpiresMs: BigInt(ENDS_MS) }),
        ),
      );
    says(0);
    await watch.ask(engine);
    t.same(await scrape(), ['kms_mesh_engine_renewal_failures 0', 'kms_mesh_engine_certificate_expires_seconds 60']);
    says(3);
    await watch.ask(engine);
    t.same((await scrape())[0], 'kms_mesh_engine_renewal_failures 3');
    t.same(watch.reasons(), [], 'it serves as long as the certificate lives');
    now.ms = ENDS_MS;
    t.match(watch.reasons(), [/attester failed 3 times, and its certificate ended at 2027-01-15T08:00:00\.000Z/]);
    says(0);
    await watch.ask(engine);
    t.same(watch.reasons(), [], 'and again when it has recovered');
  },
);
