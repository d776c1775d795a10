/** Sums up V8 processor profiles: which parts of the code a process spent its main thread on. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Share of the busy time of one part of the code. */
export interface Share {
  readonly name: string;
  readonly percent: number;
}

/** What a process spent its main thread on, largest first. */
export interface ProfileSummary {
  readonly program: string;
  readonly byFile: readonly Share[];
  readonly byFunction: readonly Share[];
}

const SHOWN = 25;

/** Reads the profiles in a folder, one for each process that ended there. */
export function summarizeProfiles(folder: string): ProfileSummary[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => summarize(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
}

function summarize(profile: Profile): ProfileSummary {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const byFile = new Map<string, number>();
  const byFunction = new Map<string, number>();
  let busy = 0;
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    const micros = profile.timeDeltas[i] ?? 0;
    if (!frame || frame.functionName === '(idle)' || frame.functionName === '(root)') continue;
    busy += micros;
    const file = frame.url === '' ? frame.functionName || '(native)' : shorten(frame.url);
    add(byFile, file, micros);
    add(byFunction, `${frame.functionName || '(anonymous)'} ${shorten(frame.url)}:${frame.lineNumber + 1}`, micros);
  }
  const main = profile.nodes.map(({ callFrame }) => callFrame.url).find((url) => /main(-dev)?\.ts$/.test(url));
  return { program: shorten(main ?? 'unknown'), byFile: shares(byFile, busy), byFunction: shares(byFunction, busy) };
}

function shares(sums: ReadonlyMap<string, number>, total: number): Share[] {
  return [...sums]
    .map(([name, micros]) => ({ name, percent: (100 * micros) / total }))
    .sort((a, b) => b.percent - a.percent)
    .slice(0, SHOWN);
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}

/** The part of a URL that tells files apart. */
function shorten(url: string): string {
  return url
    .replace(/^file:\/\//, '')
    .replace(/^.*?\/(?=(common|storage|wire|proto|native|enclave|parent|node_modules)\/)/, '');
}
