/**
 * An S3 emulator with one bucket and vaults in it, closed when the test ends.
 */
import type { Test } from 'tap';
import type { Bucket } from '../../emulators/s3/bucket.ts';
import type { FaultHook } from '../../emulators/s3/faults.ts';
import { type S3Emulator, type S3EmulatorOptions, startS3Emulator } from '../../emulators/s3/server.ts';
import type { S3StorageOptions } from '../../storage/s3/options.ts';
import { openS3Storage, type S3Storage, type S3StorageDeps } from '../../storage/s3/s3-storage.ts';

export const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };

/** A running emulator with the bucket `vault`. */
export interface TestS3 {
  readonly emulator: S3Emulator;
  readonly bucket: Bucket;
  /** The faults of the next requests; set to undefined for none. */
  fault: FaultHook | undefined;
  readonly options: S3StorageOptions;
  /** Opens a vault with a few of the options changed. Pauses between attempts take no time. */
  open(overrides?: Partial<S3StorageOptions>, deps?: S3StorageDeps): Promise<S3Storage>;
}

/** Starts one. */
export async function startS3(t: Test, overrides: Partial<S3EmulatorOptions> = {}): Promise<TestS3> {
  const region = overrides.region ?? 'eu-west-1';
  let fault: FaultHook | undefined;
  const emulator = await startS3Emulator({
    credentials: [KEYS],
    region,
    minPartBytes: 1024,
    fault: (point) => fault?.(point),
    ...overrides,
  });
  t.teardown(() => emulator.close());
  const bucket = emulator.createBucket('vault');
  const options: S3StorageOptions = {
    bucket: 'vault',
    region,
    prefix: 'PRIV',
    credentials: async () => KEYS,
    developer: { endpoint: emulator.url },
  };
  return {
    emulator,
    bucket,
    options,
    get fault() {
      return fault;
    },
    set fault(next) {
      fault = next;
    },
    async open(changed = {}, deps = {}) {
      const storage = await openS3Storage({ ...options, ...changed }, { sleep: async () => undefined, ...deps });
      t.teardown(() => storage.close());
      return storage;
    },
  };
}
