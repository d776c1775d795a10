/**
 * A key set of the test parameters on disk, for tests that need ciphertexts: generation and loading take 0.1 s.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type FheKey, generateKeySet, type KeyLayout, type NativeBytes } from '../../native/engine/index.ts';
import { type EvaluationKeys, loadEvaluationKeys } from '../../native/engine/public.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** Little-endian bytes of the FHE types 0 to 11, by type number. */
export const PLAINTEXT_BYTES = [1, 1, 1, 2, 4, 8, 16, 20, 32, 64, 128, 256] as const;

/** Bits of the FHE types 0 to 11, by type number. */
export const TYPE_BITS = [1, 4, 8, 16, 32, 64, 128, 160, 256, 512, 1024, 2048] as const;

/** Names of the four ciphertext formats, by number. */
export const FORMATS = ['SmallCompressed', 'SmallExpanded', 'BigCompressed', 'BigExpanded'] as const;

/** What {@link testKeySet} gives; all of it is disposed of when the test ends. */
export interface TestKeySet {
  readonly key: FheKey;
  readonly evaluation: EvaluationKeys;
  readonly folder: string;
  readonly publicKey: Uint8Array;
}

/** Writes native bytes to a file. */
export function save(path: string, bytes: NativeBytes): void {
  const file = openSync(path, 'w');
  for (const chunk of bytes.chunks()) writeSync(file, chunk);
  closeSync(file);
}

/** Makes a key set of the test parameters and loads its evaluation keys. */
export async function testKeySet(t: Teardown, layout: KeyLayout = 'compressed'): Promise<TestKeySet> {
  const folder = tempDir(t);
  const tag = new Uint8Array(32).fill(0xa1);
  const { key, objects } = await generateKeySet({ params: 'test', tag, layout });
  for (const { type, bytes } of objects) {
    save(join(folder, type), bytes);
    bytes.dispose();
  }
  const evaluation = await loadEvaluationKeys(
    layout === 'compressed'
      ? { compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') }
      : { serverKeyPath: join(folder, 'ServerKey'), publicKeyPath: join(folder, 'PublicKey') },
  );
  t.teardown(() => {
    key.dispose();
    evaluation.dispose();
  });
  return { key, evaluation, folder, publicKey: new Uint8Array(readFileSync(join(folder, 'PublicKey'))) };
}

/** Reads little-endian bytes as a number. */
export function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
