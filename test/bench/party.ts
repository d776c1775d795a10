/**
 * The party that is measured: engine and core as processes of their own, on a state folder that is kept in the user's
 * cache, because a production key takes a minute to make and half a gigabyte to keep.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { DEFAULT_DOMAIN, requestDomain } from '../../parent/cli/client/domain.ts';
import { generateCrs, generateKey } from '../../parent/cli/client/keys.ts';
import { withNode } from '../../parent/cli/client/session.ts';
import { createOutput } from '../../parent/cli/framework/output.ts';
import { type Params, type RunningNode, startDeveloperNode } from '../../parent/cli/supervise/run-node.ts';
import { cacheFolder } from '../helpers/load-generator.ts';
import { memory } from './process-usage.ts';

/** Raised when what is kept in the cache changes, so that an older folder is made anew. */
const CACHE_VERSION = 1;

/** The number that the measured ciphertext holds. */
export const PLAINTEXT = 0x0123_4567_89ab_cdefn;
const EUINT64 = 5;
const BIG_COMPRESSED = 2;
/** Bits that fit a proof under the benchmark's CRS; the published default. */
const CRS_BITS = 2048;

/** The domain of all requests here. */
export const DOMAIN = requestDomain(DEFAULT_DOMAIN);

/** What making the cached party took, measured once. */
export interface Making {
  readonly keyId: string;
  readonly keyGenerationMs: number;
  readonly crsGenerationMs: number;
  readonly startFromNothingMs: number;
  readonly enginePeakMb: number;
  readonly corePeakMb: number;
  readonly keySetBytes: number;
}

/** A party ready to be measured. */
export interface BenchParty {
  readonly running: RunningNode;
  readonly making: Making;
  /** A safe-serialized BigCompressed euint64 that holds {@link PLAINTEXT}. */
  readonly ciphertext: Uint8Array;
  readonly enginePid: number;
  readonly corePid: number;
}

/** Folder with the party's state and what belongs to it. */
export function partyFolder(params: Params): string {
  return join(cacheFolder(), 'bench', `party-${CACHE_VERSION}-${params}`);
}

/** Starts a node without a word, on any free ports. */
export function startNode(dir: string, params: Params, { aws = false } = {}): Promise<RunningNode> {
  const quiet = createOutput({ json: false, stdout: { write: () => true }, stderr: { write: () => true } });
  return startDeveloperNode(
    {
      dir,
      params,
      aws,
      reset: false,
      clientPort: 0,
      publicPort: 0,
      opsPort: 0,
      anyPorts: true,
      logLevel: 'info',
      treatV0ExtraDataAsEmpty: false,
    },
    quiet,
  );
}

/** Starts the cached party, making it first if it is not there. The caller stops it. */
export async function startBenchParty(params: Params, say: (line: string) => void): Promise<BenchParty> {
  const folder = partyFolder(params);
  if (!existsSync(folder)) await makeParty(folder, params, say);
  const making: Making = JSON.parse(await readFile(join(folder, 'making.json'), 'utf8'));
  const ciphertext = await readFile(join(folder, 'ciphertext'));
  const running = await startNode(join(folder, 'state'), params);
  return { running, making, ciphertext, ...pidsOf(running) };
}

/** Makes key, CRS and ciphertext in a folder beside, and puts it in place when all of it is there. */
async function makeParty(folder: string, params: Params, say: (line: string) => void): Promise<void> {
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const dir = join(unfinished, 'state');
  say(`making a party with ${params} parameters in ${folder}, once`);
  const running = await startNode(dir, params);
  try {
    const { enginePid, corePid } = pidsOf(running);
    const context = { domain: DOMAIN, extraData: new Uint8Array() };
    const [keyId, keyGenerationMs] = await timed(() =>
      withNode({ dir }, async (session) => (await generateKey(session, params, context)).keyId),
    );
    say(`key generated in ${Math.round(keyGenerationMs)} ms`);
    const peaks = { enginePeakMb: memory(enginePid).peakMb, corePeakMb: memory(corePid).peakMb };
    const [, crsGenerationMs] = await timed(() =>
      withNode({ dir }, (session) => generateCrs(session, { params, maxNumBits: CRS_BITS }, context)),
    );
    say(`CRS generated in ${Math.round(crsGenerationMs)} ms`);
    const keySetPath = join(dir, 'public/PUB/CompressedXofKeySet', keyId);
    const keySetBytes = (await readFile(keySetPath)).byteLength;
    using keys = await loadEvaluationKeys({ compressedXofKeySetPath: keySetPath });
    await writeFile(join(unfinished, 'ciphertext'), await keys.encrypt(PLAINTEXT, EUINT64, BIG_COMPRESSED));
    const startFromNothingMs = running.readyMs;
    const making: Making = { keyId, keyGenerationMs, crsGenerationMs, startFromNothingMs, keySetBytes, ...peaks };
    await writeFile(join(unfinished, 'making.json'), JSON.stringify(making, null, 2));
  } finally {
    await running.stop();
  }
  await rename(unfinished, folder);
}

function pidsOf(running: RunningNode): { enginePid: number; corePid: number } {
  const { engine, core } = running.pids();
  if (engine === undefined || core === undefined) throw new Error('engine and core must both be running');
  return { enginePid: engine, corePid: core };
}

/** Runs something and says how long it took. */
export async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  return [await work(), performance.now() - started];
}
