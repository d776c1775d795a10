/**
 * How much memory an enclave needs: for the parent, which reserves it before the start, and for the last words of an
 * enclave that had too little. Figures of the engine: docs/benchmarks.md.
 */

/** What the need follows from. */
export interface EnclaveLoad {
  /** Size of the image's file. */
  readonly imageBytes: number;
  /** One party of a quorum, which holds shares; else a node that makes and holds whole keys. */
  readonly threshold: boolean;
}

const MEBIBYTE = 1024 * 1024;
/** The hypervisor refuses an enclave whose memory is not four times its image. */
const IMAGE_FACTOR = 4;
/** Kernel, its tables and caches, init. */
const KERNEL_MB = 96;
/**
 * The engine's own. A whole key under default parameters takes 1,123 MB while it is made; a party of a quorum has 450 MB
 * under full load, and while it loads evaluation keys, these and their file of 488 MB: an enclave has no disk.
 */
const ENGINE_MB = { centralized: 1280, threshold: 1536 } as const;
/** Huge pages have 2 MB; round numbers are easier to reserve. */
const STEP_MB = 64;

/**
 * Returns the least memory of an enclave, in megabytes.
 *
 * The image counts twice: it is unpacked into memory while it still lies there.
 *
 * @example
 * enclaveMemoryNeedMb({ imageBytes: 120 * 1024 * 1024, threshold: true }); // 1920
 */
export function enclaveMemoryNeedMb({ imageBytes, threshold }: EnclaveLoad): number {
  const imageMb = Math.ceil(imageBytes / MEBIBYTE);
  const running = KERNEL_MB + 2 * imageMb + (threshold ? ENGINE_MB.threshold : ENGINE_MB.centralized);
  return Math.ceil(Math.max(running, IMAGE_FACTOR * imageMb) / STEP_MB) * STEP_MB;
}
