/**
 * `[service.tls]` and the local admin socket: how clients reach a node, and who may ask for what.
 *
 * Names of certificates and of who may act are public; the key file is read by the Core alone and never shown.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';

/** Longest name that Linux takes for a Unix socket. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Groups of RPCs that an allow-list can be given for. */
export const RPC_GROUPS = ['decrypt', 'generate', 'admin'] as const;

/** See {@link RPC_GROUPS}. */
export type RpcGroup = (typeof RPC_GROUPS)[number];

const absolutePath = z.string().refine(isAbsolute, 'needs an absolute path');
const subjects = z.array(
  z
    .string()
    .min(1, 'needs a common name, or a whole subject as RFC 4514 writes it')
    .refine((text) => text.trim() === text, 'needs a name without spaces around it'),
);

const allow = z
  .strictObject({
    decrypt: subjects.optional().describe('Who may decrypt; everybody who reaches the port if absent.'),
    generate: subjects
      .optional()
      .describe('Who may make keys and reference strings; everybody who reaches the port if absent.'),
    admin: subjects
      .optional()
      .describe('Who may change contexts, epochs, custodians, and restore; nobody over the network if absent.'),
  })
  .prefault({})
  .describe('Subjects of client certificates, by group: a common name, or a whole subject as RFC 4514 writes it.');

/** `[service.tls]`. Absent: plaintext, which only loopback may be without `allow_plaintext_clients`. */
export const tlsSection = z
  .strictObject({
    cert_path: absolutePath.optional().describe('PEM file of the server certificate, the leaf first.'),
    key_path: absolutePath.optional().describe('PEM file of its private key; readable by the node alone.'),
    attested: z
      .boolean()
      .default(false)
      .describe('Serves a certificate of its own that carries an attestation document, instead of files.'),
    client_ca_path: absolutePath
      .optional()
      .describe('PEM file of the authorities whose client certificates count; without it none is asked for.'),
    allow,
  })
  .superRefine((tls, context) => {
    const fault = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message });
    const files = [tls.cert_path, tls.key_path].filter((path) => path !== undefined).length;
    if (tls.attested && files > 0) fault(['attested'], 'needs cert_path and key_path to be absent');
    if (!tls.attested && files === 0)
      fault(['cert_path'], 'is missing; needs cert_path and key_path, or attested = true');
    if (!tls.attested && files === 1) {
      const missing = tls.cert_path === undefined ? 'cert_path' : 'key_path';
      fault([missing], 'is missing; cert_path and key_path go together');
    }
    for (const group of RPC_GROUPS) {
      if (tls.allow[group] === undefined || tls.client_ca_path !== undefined) continue;
      fault(
        ['allow', group],
        'needs client_ca_path: without it no certificate is asked for, and nobody is on the list',
      );
    }
  })
  .describe('TLS 1.3 towards clients.');

/** `service.admin_socket_path`. */
export const adminSocketPath = absolutePath
  .refine((text) => Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES, `needs at most ${MAX_SOCKET_PATH_BYTES} bytes`)
  .describe('Unix socket of mode 0600 on which everything is served, administration too; none if absent.');
