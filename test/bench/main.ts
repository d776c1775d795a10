/**
 * `npm run bench`: measures a real party on this machine and says how it compares with the goals.
 *
 * Engine, Core and load generator share the machine, as in the published figures that the goals come from. Production
 * figures are written to docs/benchmarks.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Params } from '../../parent/cli/supervise/run-node.ts';
import { buildLoadGenerator, cacheFolder } from '../helpers/load-generator.ts';
import { measureAttestation } from './attestation.ts';
import { type Bench, measureDecryption, measureWithoutMesh } from './decryption.ts';
import { writePage } from './document.ts';
import { Figures, reaches, textTable } from './figures.ts';
import { measureFrameChannel } from './frame-channel.ts';
import { measureStart } from './life-cycle.ts';
import { describeMachine } from './machine.ts';
import { measureMeshHandshake } from './mesh-handshake.ts';
import { startBenchParty } from './party.ts';
import { startPlainNode } from './plain-node.ts';
import { memory } from './process-usage.ts';
import { summarizeProfiles } from './profile.ts';
import { measureQuorums } from './quorum.ts';
import { buildRequests } from './requests.ts';
import { measureSealing } from './seal.ts';
import { measureSmallFrames } from './small-frames.ts';
import { measureSteps } from './steps.ts';
import { measureTransports } from './transport.ts';
import { measureVsockProxy } from './vsock-proxy.ts';
import { addWhere } from './where.ts';

const HELP = `Usage: npm run bench -- [options]
  --json FILE            also write every figure, by name, to FILE
  --params default|test  parameter set (default: default, the production one; test makes ciphertexts smaller)
  --seconds N            how long each load is measured (default: 5)
  --only party|quorum|proxy
                         measure a single party, quorums or vsock-proxy, and leave docs/benchmarks.md alone
  --profile              also say which code the main threads of engine and Core are busy with
  --help`;

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    params: { type: 'string', default: 'default' },
    only: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<number> {
  const { params, json, only } = values;
  const seconds = Number(values.seconds);
  const isPart = only === undefined || ['party', 'quorum', 'proxy'].includes(only);
  if (values.help || (params !== 'default' && params !== 'test') || !(seconds > 0) || !isPart) {
    say(HELP);
    return values.help ? 0 : 2;
  }
  const machine = describeMachine();
  say(machine);
  const folder = mkdtempSync(join(tmpdir(), 'arca-bench-'));
  // As bin/arca has it: a process that compiles its sources by itself keeps 25 MB of what it needed for that.
  process.env.NODE_COMPILE_CACHE ??= join(cacheFolder(), 'node');
  try {
    const figures = new Figures();
    const bench: Bench = { figures, folder, seconds, say, loadGenerator: await buildLoadGenerator() };
    if (values.profile) process.env.NODE_OPTIONS = `--cpu-prof --cpu-prof-dir=${folder}`;
    if (only === undefined || only === 'party') await measureParty(bench, params);
    if (only === undefined || only === 'quorum') await measureQuorums(bench, params);
    if (only === undefined || only === 'proxy') await measureVsockProxy(bench);
    addWhere(figures);
    process.stdout.write(`\n${machine}\n\n${textTable(figures.all())}\n`);
    if (values.profile) showProfiles(folder);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(figures.toRecord(), null, 2)}\n`);
    if (params === 'default' && !values.profile && only === undefined) await writePage(machine, figures);
    const missed = figures.all().filter((figure) => reaches(figure) === false);
    for (const { name, value, goal } of missed) say(`goal missed: ${name} is ${value}, wanted ${goal}`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The single party, and whatever concerns no quorum. */
async function measureParty(bench: Bench, params: Params): Promise<void> {
  const { figures, folder } = bench;
  const party = await startBenchParty(params, say);
  const requests = buildRequests(folder, party.making.keyId, party.ciphertext);
  try {
    const measurable = { ...party, clientUrl: party.running.node.clientUrl };
    for (const request of requests) await measureDecryption(bench, measurable, request);
    addMemory(figures, party.enginePid, party.corePid);
  } finally {
    await party.running.stop();
    delete process.env.NODE_OPTIONS; // profiles are of what runs as it does in production
  }
  const plain = await startPlainNode(party.running.dir);
  try {
    for (const request of requests) await measureWithoutMesh(bench, plain, request);
  } finally {
    await plain.stop();
  }
  await measureAttestation(bench);
  await measureMeshHandshake(bench);
  await measureFrameChannel(bench);
  await measureSmallFrames(bench);
  await measureSealing(bench);
  await measureTransports(bench, requests[0] ?? fail());
  await measureSteps(bench, party.running.dir, party.making.keyId, requests);
  await measureStart(bench, params, party.making);
}

function addMemory(figures: Figures, enginePid: number, corePid: number): void {
  for (const [name, pid] of [
    ['engine', enginePid],
    ['core', corePid],
  ] as const) {
    const { residentMb, peakMb } = memory(pid);
    figures.add({ name: `memory.${name}.afterLoadMb`, value: residentMb, unit: 'MB' });
    figures.add({ name: `memory.${name}.peakMb`, value: peakMb, unit: 'MB' });
  }
}

function showProfiles(folder: string): void {
  for (const { program, byFile, byFunction } of summarizeProfiles(folder)) {
    if (!/^(enclave|parent\/core)\//.test(program)) continue;
    for (const shares of [byFile, byFunction]) {
      process.stdout.write(`\n${program}, main thread\n`);
      for (const { name, percent } of shares) process.stdout.write(`${percent.toFixed(1).padStart(6)} %  ${name}\n`);
    }
  }
}

function fail(): never {
  throw new Error('no request to measure with');
}

process.exitCode = await main();
