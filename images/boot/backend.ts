/**
 * The face of what starts an enclave: the Nitro hypervisor on a parent instance, or QEMU's machine of the same shape where
 * there is none. Nothing of it is trusted: what an enclave is, its attestation document says.
 */
import type { ParentVsock } from '../../vsock-proxy/parent-vsock.ts';

/** What an enclave is started with. */
export interface EnclaveStart {
  /** The image's file, absolute. */
  readonly image: string;
  readonly memoryMb: number;
  readonly cpus: number;
  /** Its address; the back end chooses where it is absent. */
  readonly cid?: number | undefined;
  /** Debug mode shows the console and zeroes PCR0, 1 and 2, so peers refuse such an enclave. */
  readonly debug: boolean;
  /** Folder of this start alone: sockets, console, logs. The caller makes and removes it. */
  readonly folder: string;
  /** Called with the parent's end of the vsock before the enclave boots, to listen on the ports that it will dial. */
  readonly beforeBoot?: ((vsock: Pick<ParentVsock, 'listen' | 'address'>) => Promise<void>) | undefined;
  /** Told of each connection to the parent's ports that came from another CID; it is closed already. */
  readonly onForeign?: ((cid: number, port: number) => void) | undefined;
}

/** What a start needs of the machine. */
export type EnclaveNeed = Pick<EnclaveStart, 'image' | 'memoryMb' | 'cpus' | 'cid'>;

/** One thing that was looked at before a start. */
export interface Finding {
  /** What was looked at: `memory`, `cpus`, `device`. */
  readonly name: string;
  readonly ok: boolean;
  /** What was found. */
  readonly found: string;
  /** What to do about it; there when `ok` is false. */
  readonly cure?: string | undefined;
}

/** An enclave that was started; it may still be booting. */
export interface RunningEnclave {
  /** The hypervisor's name for it. */
  readonly id: string;
  readonly cid: number;
  /** The parent's end of its vsock. */
  readonly vsock: ParentVsock;
  /** Resolves when the enclave is no more, however it came to that; never rejects. */
  readonly ended: Promise<{ readonly reason: string }>;
  /** Ends it at once, whatever it does. May be called again. */
  stop(): Promise<void>;
}

/** One way to start enclaves. */
export interface EnclaveBackend {
  readonly name: 'nitro-cli' | 'qemu';
  /** Looks at the machine and changes nothing. All findings, also the good ones. */
  check(need: EnclaveNeed): Promise<readonly Finding[]>;
  /**
   * Starts an enclave. Its heartbeat is the back end's to answer; all other ports of the parent are the caller's.
   *
   * @throws {@link KmsError} `UNAVAILABLE` if the machine cannot run it, with what the hypervisor said.
   */
  start(start: EnclaveStart): Promise<RunningEnclave>;
}
