/**
 * The part `tls` of an emulator's configuration: an enclave reaches services by TLS alone, emulated ones too.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** What stands in the configuration. */
export const tlsFiles = z
  .strictObject({ certificate: z.string(), key: z.string() })
  .describe('PEM files beside this one; plain HTTP unless set.');

/** PEM, as Node's servers take it. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

/**
 * Reads the files.
 *
 * @param beside - Returns the path of a file that the configuration names.
 * @throws Error whose message names the file that cannot be read.
 */
export function readTlsFiles(files: z.infer<typeof tlsFiles>, beside: (name: string) => string): TlsIdentity {
  return { cert: readText(beside(files.certificate)), key: readText(beside(files.key)) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Error(`${path} cannot be read`, { cause });
  }
}
