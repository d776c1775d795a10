/**
 * Credentials with which grpc-js dials through the mesh: TLS and proof run on the socket that it has opened.
 *
 * The methods with an underscore are grpc-js's own seam for credentials, abstract in its type; the exact version is
 * pinned and a test calls through them.
 */
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { connectMesh } from '../connect.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from '../mesh-context.ts';
import { socketForGrpc } from './peer-of-call.ts';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type RawSocket = Parameters<SecureConnector['connect']>[0];
type GrpcTarget = Parameters<ChannelCredentials['_createSecureConnector']>[0];
type Options = Parameters<ChannelCredentials['_createSecureConnector']>[1];

/** As whom to dial, and whom to expect. */
export interface MeshCredentialsOptions {
  readonly endpoint: MeshEndpoint;
  readonly expect: PeerExpectation;
  /** Told each connection that was verified. */
  readonly onConnection?: (connection: MeshConnection) => void;
  /** Told why a connection was not made; grpc-js tells callers no more than that. */
  readonly onFailure?: (error: KmsError) => void;
}

/** Credentials of one channel: equal to none but themselves, so that grpc-js shares no connection between channels. */
export class MeshChannelCredentials extends ChannelCredentials {
  readonly #options: MeshCredentialsOptions;

  constructor(options: MeshCredentialsOptions) {
    super();
    this.#options = options;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: GrpcTarget,
    _options: Options,
    callCredentials?: CallCredentials,
  ): SecureConnector {
    const stop = new AbortController();
    return {
      connect: (socket) => this.#connect(socket, stop.signal),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => stop.abort(),
    };
  }

  async #connect(socket: RawSocket, signal: AbortSignal): ReturnType<SecureConnector['connect']> {
    const { endpoint, expect, onConnection, onFailure } = this.#options;
    try {
      const connection = await connectMesh(socket, endpoint, expect, signal);
      onConnection?.(connection);
      return { socket: socketForGrpc(connection), secure: true };
    } catch (error) {
      onFailure?.(isKmsError(error) ? error : new KmsError('INTERNAL', 'the handshake failed unexpectedly', {}, error));
      throw error;
    }
  }
}
