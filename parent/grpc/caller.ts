/**
 * Who is on the other end of a connection, as far as the transport has verified it. Every call carries it.
 */
import type { ClientSubject } from './client-subject.ts';

/** See the file comment. */
export type Caller =
  /** Anybody who reaches the port. */
  | { readonly kind: 'plaintext' }
  /** Over TLS; `subject` is that of a client certificate which an authority of ours signed, if one was shown. */
  | { readonly kind: 'tls'; readonly subject?: ClientSubject | undefined }
  /** The user that owns the node, by way of the file system. */
  | { readonly kind: 'admin-socket' }
  /** An attested process of ours. */
  | { readonly kind: 'mesh'; readonly role: string; readonly party: number };

/** The caller of a listener without TLS. */
export const PLAINTEXT: Caller = { kind: 'plaintext' };

/** The caller of the local admin socket. */
export const ADMIN_SOCKET: Caller = { kind: 'admin-socket' };

/** Returns a word or two for the log. Subjects are names that an authority of ours signed. */
export function describeCaller(caller: Caller): string {
  switch (caller.kind) {
    case 'tls':
      return caller.subject === undefined ? 'TLS without a client certificate' : `TLS, ${caller.subject.rfc4514}`;
    case 'mesh':
      return `attested ${caller.role} of party ${caller.party}`;
    case 'admin-socket':
      return 'admin socket';
    case 'plaintext':
      return 'plaintext';
  }
}
