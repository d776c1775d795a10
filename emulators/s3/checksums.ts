/**
 * The checksums of S3: CRC32, CRC32C, CRC64NVME, SHA-1 and SHA-256, base64 in headers and trailers.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Names of the algorithms as `x-amz-checksum-algorithm` has them. */
export const CHECKSUM_ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;

/** One of {@link CHECKSUM_ALGORITHMS}. */
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** Returns the algorithm of that name, in any case, or undefined. */
export function checksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.find((algorithm) => algorithm === name.toUpperCase());
}

/** A checksum over what it is fed. */
export interface RunningChecksum {
  update(chunk: Uint8Array): void;
  /** The value so far, as raw bytes. */
  value(): Buffer;
}

/** Starts a checksum. */
export function startChecksum(algorithm: ChecksumAlgorithm): RunningChecksum {
  switch (algorithm) {
    case 'CRC32': {
      let crc = 0;
      return {
        update: (chunk) => {
          crc = crc32(chunk, crc);
        },
        value: () => word(crc),
      };
    }
    case 'CRC32C':
      return crc32c();
    case 'CRC64NVME':
      return crc64nvme();
    case 'SHA1':
    case 'SHA256': {
      const hash = createHash(algorithm);
      return { update: (chunk) => void hash.update(chunk), value: () => hash.copy().digest() };
    }
  }
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

const CASTAGNOLI = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function crc32c(): RunningChecksum {
  let crc = 0xffffffff;
  return {
    update: (chunk) => {
      for (const byte of chunk) crc = (crc >>> 8) ^ (CASTAGNOLI[(crc ^ byte) & 0xff] ?? 0);
    },
    value: () => word(~crc),
  };
}

// The reflected polynomial of CRC-64/NVME, table in two halves: BigInt would be far slower.
const NVME_LOW = new Uint32Array(256);
const NVME_HIGH = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ 0x9a6c9329ac4bc9b5n : value >> 1n;
  NVME_LOW[byte] = Number(value & 0xffffffffn);
  NVME_HIGH[byte] = Number(value >> 32n);
}

function crc64nvme(): RunningChecksum {
  let low = 0xffffffff;
  let high = 0xffffffff;
  return {
    update: (chunk) => {
      for (const byte of chunk) {
        const index = (low ^ byte) & 0xff;
        low = ((low >>> 8) | (high << 24)) ^ (NVME_LOW[index] ?? 0);
        high = (high >>> 8) ^ (NVME_HIGH[index] ?? 0);
      }
    },
    value: () => Buffer.concat([word(~high), word(~low)]),
  };
}
