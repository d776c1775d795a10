/** Starting, key generation and CRS generation: what an operator waits for. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKey } from '../../parent/cli/client/keys.ts';
import { withNode } from '../../parent/cli/client/session.ts';
import type { Params } from '../../parent/cli/supervise/run-node.ts';
import type { Bench } from './decryption.ts';
import { DOMAIN, type Making, partyFolder, startNode, timed } from './party.ts';
import { memory } from './process-usage.ts';

const STARTS = 3;
const READY_MS = 3_000;
const FIRST_KEY_MS = 10_000;
const SEALED_READY_MS = 5_000;

/** Measures starts now and reports what making the cached party took. The party must not be running. */
export async function measureStart(bench: Bench, params: Params, making: Making): Promise<void> {
  const { figures, say } = bench;
  const add = (name: string, value: number, unit: 'ms' | 'MB' | 'bytes', goal?: number, note?: string) =>
    figures.add({
      name,
      value,
      unit,
      ...(goal === undefined ? {} : { goal }),
      ...(note === undefined ? {} : { note }),
    });

  const ready: number[] = [];
  let engineMb = 0;
  let coreMb = 0;
  for (let i = 0; i < STARTS; i++) {
    const running = await startNode(join(partyFolder(params), 'state'), params);
    const { engine, core } = running.pids();
    ready.push(running.readyMs);
    if (engine !== undefined && core !== undefined) {
      engineMb = memory(engine).residentMb;
      coreMb = memory(core).residentMb;
    }
    await running.stop();
  }
  const median = ready.sort((a, b) => a - b)[Math.floor(STARTS / 2)] ?? 0;
  add('start.existingKeys.readyMs', median, 'ms', READY_MS, `median of ${STARTS}`);
  add('memory.engine.atStartMb', engineMb, 'MB');
  add('memory.core.atStartMb', coreMb, 'MB');
  say(`ready after ${Math.round(median)} ms with existing keys`);

  await measureSealedStart(bench);
  const fresh = await mkdtemp(join(tmpdir(), 'arca-bench-fresh-'));
  try {
    const [, ms] = await timed(async () => {
      const running = await startNode(fresh, 'test');
      try {
        const context = { domain: DOMAIN, extraData: new Uint8Array() };
        add('start.fromNothing.readyMs', running.readyMs, 'ms');
        await withNode({ dir: fresh }, (session) => generateKey(session, 'test', context));
      } finally {
        await running.stop();
      }
    });
    add('start.fromNothing.firstTestKeyMs', ms, 'ms', FIRST_KEY_MS, 'start, key with test parameters, stop');
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }

  const note = `${params} parameters, once`;
  add(
    'generation.key.ms',
    making.keyGenerationMs,
    'ms',
    undefined,
    `${note}; preprocessing, storing and signing included`,
  );
  add('generation.key.setBytes', making.keySetBytes, 'bytes', undefined, note);
  add('generation.key.enginePeakMb', making.enginePeakMb, 'MB', undefined, note);
  add('generation.key.corePeakMb', making.corePeakMb, 'MB', undefined, note);
  add('generation.crs2048.ms', making.crsGenerationMs, 'ms', undefined, note);
}

/** A node whose vault lies sealed in S3 under AWS KMS, both emulated here: with a key, as it comes back. */
async function measureSealedStart({ figures, say }: Pick<Bench, 'figures' | 'say'>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'arca-bench-sealed-'));
  try {
    const first = await startNode(dir, 'test', { aws: true });
    try {
      const context = { domain: DOMAIN, extraData: new Uint8Array() };
      await withNode({ dir }, (session) => generateKey(session, 'test', context));
    } finally {
      await first.stop();
    }
    const again = await startNode(dir, 'test', { aws: true });
    await again.stop();
    const note = 'vault in S3 under KMS, emulated on this machine and started with it; one test key';
    figures.add({ name: 'start.sealed.readyMs', value: again.readyMs, unit: 'ms', goal: SEALED_READY_MS, note });
    say(`ready after ${Math.round(again.readyMs)} ms with a sealed vault`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
