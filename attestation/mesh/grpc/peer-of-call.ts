/**
 * Makes a verified connection fit for grpc-js, and finds its peer again from a call, on either side.
 *
 * grpc-js asks a TLS socket for the peer's certificate in the legacy form, which ends Node with a segmentation fault
 * for some keys. The mesh lets no such key in; all the same the socket answers that question itself from here on.
 */
import type { TLSSocket } from 'node:tls';
import { KmsError } from '../../../common/errors.ts';
import type { MeshConnection, MeshPeer } from '../mesh-context.ts';

/** What a call of grpc-js knows of its connection. */
export interface CallWithAuthContext {
  getAuthContext(): { readonly sslPeerCertificate?: object | undefined } | null;
}

const PEERS = new WeakMap<object, MeshPeer>();

/** Returns the connection's socket, ready to be handed to grpc-js. Call it once per connection. */
export function socketForGrpc({ stream, peer }: MeshConnection): TLSSocket {
  // Stands for the certificate in grpc-js's auth context: an object of this connection's own.
  const named = { raw: Buffer.alloc(0) };
  PEERS.set(named, peer);
  Object.defineProperty(stream, 'getPeerCertificate', { value: () => named });
  // The proof has been verified, by more than TLS could.
  stream.authorized = true;
  // HTTP/2 takes the handle below the stream and does not make one that was paused read again.
  if (stream.readableLength === 0) stream.read(0);
  return stream;
}

/**
 * Returns the verified peer of a call: pass the `call` that a handler gets, or a client's call once it has metadata.
 *
 * @throws KmsError `PERMISSION_DENIED` for a call that did not come over the mesh.
 */
export function meshPeerOf(call: CallWithAuthContext): MeshPeer {
  const named = call.getAuthContext()?.sslPeerCertificate;
  const peer = named && PEERS.get(named);
  if (!peer) throw new KmsError('PERMISSION_DENIED', 'this call did not come over the mesh');
  return peer;
}
