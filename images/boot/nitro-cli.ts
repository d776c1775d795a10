/**
 * Enclaves of a Nitro parent, started by AWS's own `nitro-cli`: it allocates memory and CPUs, loads the image, and answers
 * the heartbeat. Its words are read as JSON and bounded; what the enclave is, only its attestation document says.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { KmsError } from '../../common/errors.ts';
import { type ParentVsock, parentVsock } from '../../vsock-proxy/parent-vsock.ts';
import type { EnclaveBackend, EnclaveStart, RunningEnclave } from './backend.ts';
import { checkNitroParent } from './nitro-checks.ts';
import { type NitroCli, runNitroCli } from './nitro-command.ts';

/** Settings of {@link nitroCliBackend}. */
export interface NitroCliOptions {
  /** The program. */
  readonly program?: string;
  /** Where the machine's `/dev`, `/etc` and `/sys` are; another folder in tests. */
  readonly root?: string;
  /** Between two looks at whether the enclave still runs. */
  readonly pollMs?: number;
  /** The vsock of an enclave; AF_VSOCK unless a test has none. */
  readonly vsockOf?: (cid: number, start: EnclaveStart) => ParentVsock;
}

const POLL_MS = 2_000;
/** Where an enclave is found if the caller names no address. */
const DEFAULT_CID = 16;

const Started = z.object({ EnclaveID: z.string(), EnclaveCID: z.int(), ProcessID: z.int().positive().optional() });
const Described = z.array(
  z.object({
    EnclaveID: z.string(),
    EnclaveCID: z.int(),
    EnclaveName: z.string().optional(),
    MemoryMiB: z.int().nonnegative().optional(),
  }),
);
type Described = z.infer<typeof Described>;

const nitroVsock = (cid: number, { onForeign }: EnclaveStart): ParentVsock => parentVsock({ cid }, { onForeign });

/** Returns the back end. */
export function nitroCliBackend(options: NitroCliOptions = {}): EnclaveBackend {
  const { program = 'nitro-cli', root = '/', pollMs = POLL_MS, vsockOf = nitroVsock } = options;
  const cli = runNitroCli(program);
  return {
    name: 'nitro-cli',
    check: async (need) => {
      // What an earlier launcher left is ended at the start: its memory is as good as free.
      const left = (await describe(cli).catch(() => [])).find(isOurs(need.cid ?? DEFAULT_CID));
      return await checkNitroParent(need, { cli, program, root, leftoverMb: left?.MemoryMiB ?? 0 });
    },
    start: async (start) => {
      const cid = start.cid ?? DEFAULT_CID;
      await endLeftover(cli, cid);
      const vsock = vsockOf(cid, start);
      await start.beforeBoot?.(vsock);
      const started = read(Started, await cli(argumentsOf(start, cid)), 'run-enclave');
      return follow({ cli, vsock, pollMs }, started);
    },
  };
}

/** All that is passed; nothing is taken from a shell or from the environment. */
function argumentsOf({ image, memoryMb, cpus, debug }: EnclaveStart, cid: number): readonly string[] {
  return [
    'run-enclave',
    ...['--eif-path', image],
    ...['--memory', String(memoryMb)],
    ...['--cpu-count', String(cpus)],
    ...['--enclave-cid', String(cid)],
    ...['--enclave-name', nameOf(cid)],
    ...(debug ? ['--debug-mode'] : []),
  ];
}

/** Names ours, so that none of another owner is ever ended. */
const nameOf = (cid: number): string => `arca-${cid}`;

const isOurs =
  (cid: number) =>
  ({ EnclaveName }: Described[number]): boolean =>
    EnclaveName === nameOf(cid);

/** An enclave outlives a launcher that was killed: it holds the address and the memory that the next one needs. */
async function endLeftover(cli: NitroCli, cid: number): Promise<void> {
  const running = await describe(cli);
  const mine = running.find(isOurs(cid));
  if (mine) return void (await cli(['terminate-enclave', '--enclave-id', mine.EnclaveID]));
  const other = running.find(({ EnclaveCID }) => EnclaveCID === cid);
  if (!other) return;
  const cure = 'choose another address with [enclave] cid, or end that enclave';
  throw new KmsError('ALREADY_EXISTS', `another enclave has the address ${cid}`, { cid, cure });
}

interface Following {
  readonly cli: NitroCli;
  readonly vsock: ParentVsock;
  readonly pollMs: number;
}

function follow({ cli, vsock, pollMs }: Following, { EnclaveID: id, EnclaveCID: cid }: z.infer<typeof Started>) {
  const stopped = new AbortController();
  let stop: Promise<void> | undefined;
  const isGone = async (): Promise<boolean> => {
    // A question that fails says nothing about the enclave: the next one will.
    const running = await describe(cli).catch(() => undefined);
    return running?.every(({ EnclaveID }) => EnclaveID !== id) === true;
  };
  const watch = async (): Promise<{ reason: string }> => {
    do await delay(pollMs, undefined, { signal: stopped.signal }).catch(() => {});
    while (!stopped.signal.aborted && !(await isGone()));
    return { reason: stop !== undefined ? 'it was stopped' : 'the hypervisor has ended it' };
  };
  const ended = watch();
  const terminate = async (): Promise<void> => {
    if (!(await isGone())) await cli(['terminate-enclave', '--enclave-id', id]);
    stopped.abort();
    await ended;
  };
  const enclave: RunningEnclave = {
    id,
    cid,
    vsock,
    ended,
    stop: () => {
      stop ??= terminate();
      return stop;
    },
  };
  return enclave;
}

async function describe(cli: NitroCli): Promise<Described> {
  return read(Described, await cli(['describe-enclaves']), 'describe-enclaves');
}

function read<S extends z.ZodType>(schema: S, text: string, command: string): z.output<S> {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new KmsError('UNAVAILABLE', `nitro-cli ${command} answered something else than it should`, { command });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
