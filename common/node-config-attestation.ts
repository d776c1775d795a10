/**
 * `[attestation]` and `[mesh]`: under which charter a node runs, and which of its doors the mesh opens.
 *
 * Nothing here is optional by omission: without a charter no process starts, and which root is trusted is a constant
 * of the program. All of these files are public, but the key of developer mode.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';

/** Longest name that Linux takes for a Unix socket. */
const MAX_SOCKET_PATH_BYTES = 107;

const absolutePath = z.string().refine(isAbsolute, 'needs an absolute path');

/** `[attestation]`. */
export const attestationSection = z
  .strictObject({
    charter_path: absolutePath.describe('Charter of this party; the engine extends PCR16 with it.'),
    record_path: absolutePath.describe('Governed record with its signatures; the core keeps the newest it sees here.'),
    releases_path: absolutePath.describe('Release set with its signatures; the core keeps the newest it sees here.'),
    developer_root_path: absolutePath
      .optional()
      .describe('Certificate of the developer root, PEM; needed in developer mode, refused outside.'),
    developer_governance_key_path: absolutePath
      .optional()
      .describe('Governance key that approves by itself, PEM; only in developer mode.'),
  })
  .describe('What this node is attested under.');

/** Keys of {@link attestationSection} that only the developer programs know. */
export const DEVELOPER_ATTESTATION_KEYS = ['developer_root_path', 'developer_governance_key_path'] as const;

/** `[mesh]`. */
export const meshSection = z
  .strictObject({
    connector_socket_path: absolutePath
      .refine(
        (text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES,
        `needs at most ${MAX_SOCKET_PATH_BYTES} bytes`,
      )
      .optional()
      .describe('Unix socket on which attested connectors reach the core; none if absent.'),
  })
  .prefault({})
  .describe('Attested connections beside the one between core and engine.');
