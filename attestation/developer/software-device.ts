/**
 * The security module of one child process of the supervisor: a software module that shows what was measured before
 * the child was started, on a socket that this child alone holds. The root key stays on this side.
 *
 * At the child's first document the files are looked at once more. If one changed meanwhile, nobody can know what the
 * child loaded, and all its documents show a measurement that no release lists: peers refuse it.
 */
import type { Duplex } from 'node:stream';
import { toHex } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import type { Platform } from '../document/types.ts';
import type { DeveloperRootKey } from './chain.ts';
import type { MeasuredProgram } from './measure-program.ts';
import { serveNsm } from './nsm-link.ts';
import { extendedPcr, zeroPcr } from './registers.ts';
import type { DocumentForm } from './sign-document.ts';
import { createSoftwareNsm, type SoftwareNsm } from './software-nsm.ts';

/** Settings of {@link softwareDevice}. */
export interface SoftwareDeviceOptions {
  readonly root: DeveloperRootKey;
  readonly program: MeasuredProgram;
  /** `i-` and 17 hex digits, the same for all processes of one party. */
  readonly instanceId: string;
  readonly clock: Clock;
  readonly random?: RandomSource;
  readonly leafLifeMs?: number;
  readonly form?: DocumentForm;
  /** Learns, for the log, which files changed between measurement and start. Called once at most. */
  readonly onChanged?: (files: readonly string[]) => void;
  /** Learns why the module could not serve a request. */
  readonly onFault?: (error: unknown) => void;
}

/** A module for one child. */
export interface SoftwareDevice {
  readonly moduleId: string;
  readonly platform: Platform;
  readonly nsm: SoftwareNsm;
  /** Serves it on the supervisor's end of the child's socket. */
  serve(stream: Duplex): void;
}

/** An instance has one TPM, and this is its name. */
const TPM_SUFFIX = 'tpm0000000000000000';
const ENCLAVE_ID_BYTES = 8;

/**
 * Makes the module of one child, right before that is started; a child that is started again gets a new one, with its
 * registers as after boot.
 */
export function softwareDevice(options: SoftwareDeviceOptions): SoftwareDevice {
  const { root, program, instanceId, clock, random = systemRandom, onChanged, onFault } = options;
  const enclave = program.role === 'engine';
  const platform: Platform = enclave ? 'enclave' : 'nitro-tpm';
  const moduleId = `${instanceId}-${enclave ? `enc${toHex(random(ENCLAVE_ID_BYTES))}` : TPM_SUFFIX}`;
  /** Of an enclave the instance is measured into register 4. */
  const place = enclave ? [[4, extendedPcr(zeroPcr(), new TextEncoder().encode(instanceId))] as const] : [];
  const startedMs = clock.nowMs();
  let verdict: ReadonlyMap<number, Uint8Array> | undefined;
  const nsm = createSoftwareNsm({
    root,
    platform,
    moduleId,
    pcrs: new Map([...program.pcrs, ...place]),
    clock,
    random,
    ...(options.leafLifeMs === undefined ? {} : { leafLifeMs: options.leafLifeMs }),
    ...(options.form === undefined ? {} : { form: options.form }),
    ...(onFault === undefined ? {} : { onFault }),
    beforeAttest: async () => {
      if (verdict !== undefined) return undefined;
      const { changed, pcrs } = await program.look(startedMs);
      verdict = pcrs;
      if (changed.length > 0) onChanged?.(changed);
      return verdict;
    },
  });
  return { moduleId, platform, nsm, serve: (stream) => serveNsm(stream, nsm) };
}
