/**
 * What `arca dev --parties N` does: start a quorum, say so, show what one wanted to see of it, run until told to stop.
 */
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { quorumBanner, quorumWarnings } from '../quorum/quorum-banner.ts';
import { quorumTable } from '../quorum/quorum-table.ts';
import { startDeveloperQuorum } from '../quorum/run-quorum.ts';
import type { RunningQuorum } from '../quorum/running-quorum.ts';
import { liveTable, QuorumWatch } from '../quorum/watch-table.ts';
import { type DevOptions, stopOnSignal } from './dev.ts';

/** Where the ports of a quorum begin unless others are asked for: those of the published local stacks. */
const FIRST_PORTS = { client: 50_100, mesh: 50_001 } as const;

/** `arca dev --parties N`. */
export async function runDevQuorum(options: DevOptions & { readonly parties: number }, output: Output): Promise<void> {
  const { parties, killParty = [], lieParty = [] } = options;
  requireParties('--kill-party', killParty, parties);
  requireParties('--lie-party', lieParty, parties);
  warnOfTooMany(new Set([...killParty, ...lieParty]).size, (parties - 1) / 3, output);
  const live = process.stderr.isTTY === true && !output.json ? liveTable(output, process.stderr) : undefined;
  const said = live?.output ?? output;
  const quorum = await startDeveloperQuorum(
    {
      dir: options.dir,
      parties,
      params: options.params,
      reset: options.reset === true,
      clientPort: options.port ?? FIRST_PORTS.client,
      meshPort: options.meshPort ?? FIRST_PORTS.mesh,
      publicPort: options.publicPort,
      opsPort: options.opsPort,
      anyPorts: false,
      logLevel: options.logLevel,
      treatV0ExtraDataAsEmpty: options.v0ExtraDataAsEmpty === true,
      lyingParties: lieParty,
      aws: options.aws === true,
      backup: options.backup,
    },
    said,
  );
  const ended = new AbortController();
  const stopped = stopOnSignal(quorum, said).finally(() => ended.abort());
  try {
    const watch = new QuorumWatch(quorum.parties);
    await announce(quorum, watch, live !== undefined, output);
    for (const party of killParty) {
      await quorum.stopParty(party, true);
      said.note(`party ${party} was killed, as --kill-party asks, and stays down`);
    }
    await live?.run(watch, ended.signal);
  } catch (error) {
    await quorum.stop();
    throw error;
  }
  await stopped;
}

/** Prints banner and warnings, or under `--json` the one object that describes the quorum. */
async function announce(quorum: RunningQuorum, watch: QuorumWatch, isLive: boolean, output: Output): Promise<void> {
  for (const warning of quorumWarnings(quorum)) output.warn(warning);
  const table = isLive
    ? ''
    : `${quorumTable(await watch.look())
        .map((line) => `  ${line}`)
        .join('\n')}\n\n`;
  const hint = "Ctrl-C stops all. 'arca status' shows the quorum, 'arca key generate' makes a key.";
  output.result(quorumJson(quorum), `${quorumBanner(quorum)}\n${table}  ${hint}\n`);
}

function quorumJson(quorum: RunningQuorum): object {
  return {
    ready: true,
    readyMs: Math.round(quorum.readyMs),
    dir: quorum.dir,
    pid: process.pid,
    threshold: quorum.threshold,
    ...(quorum.aws ? { aws: { s3Url: quorum.aws.s3Url, kmsUrl: quorum.aws.kmsUrl, pids: quorum.aws.pids() } } : {}),
    parties: quorum.parties.map(({ party, dir, node, meshPort, pids }) => ({
      party,
      dir,
      ...node,
      meshUrl: `127.0.0.1:${meshPort}`,
      pids: pids(),
    })),
  };
}

/** Beyond t nothing is promised: a demonstration of that is a demonstration, too. */
function warnOfTooMany(faulty: number, threshold: number, output: Output): void {
  if (faulty <= threshold) return;
  output.warn(`${faulty} parties are to fail, ${threshold} may: decryptions will fail with a reason, and open nothing`);
}

/** @throws {@link KmsError} with exit code 2 for numbers that are no party's. */
function requireParties(option: string, numbers: readonly number[], parties: number): void {
  const strangers = numbers.filter((party) => party > parties);
  if (strangers.length === 0) return;
  const what = `${option} ${strangers.join(', ')}: there are ${parties} parties`;
  throw usageFailure(what, `give numbers of 1 to ${parties}`);
}
