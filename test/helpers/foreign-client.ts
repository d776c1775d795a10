/**
 * A gRPC client that shares nothing with ours: @grpc/grpc-js and its own loader, over message definitions written by
 * hand (test/vectors/proto). Names of fields are those of the wire.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { credentials, Client as GrpcClient, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { present } from './present.ts';

/** What proto-loader makes of one RPC. */
interface Method {
  readonly path: string;
  readonly requestSerialize: (message: object) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => object;
}

interface Loader {
  loadSync(files: string[], options: object): Readonly<Record<string, Readonly<Record<string, Method>>>>;
}

// The loader comes with grpc-js and is found from there.
const fromGrpc = createRequire(createRequire(import.meta.url).resolve('@grpc/grpc-js'));
const loader: Loader = fromGrpc('@grpc/proto-loader');
const services = loader.loadSync(['kms-service.proto', 'metastore-status.proto', 'health.proto'], {
  includeDirs: [join(import.meta.dirname, '../vectors/proto')],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  bytes: Buffer,
});

/** The services of a node. */
export const SERVICE = {
  core: 'kms_service.v1.CoreServiceEndpoint',
  metaStore: 'metastore_status.v1.MetaStoreStatusService',
  health: 'grpc.health.v1.Health',
} as const;

/** How a call ended: `code` is the status by name, `reply` is there if it is `OK`. */
export interface Ended<Reply> {
  readonly code: string;
  readonly details: string;
  readonly reply?: Reply;
}

/** See the file comment. */
export interface ForeignClient {
  /** Calls one RPC. `Reply` is the shape that the hand-written definitions give the answer. */
  call<Reply = object>(rpc: string, message?: object, service?: string): Promise<Ended<Reply>>;
  /** As {@link call}, again while the answer is UNAVAILABLE. */
  poll<Reply = object>(rpc: string, id: string): Promise<Ended<Reply>>;
  close(): void;
}

/** Connects to `http://host:port`. */
export function openForeignClient(url: string): ForeignClient {
  const client = new GrpcClient(new URL(url).host, credentials.createInsecure());
  const call = <Reply>(rpc: string, message: object = {}, service: string = SERVICE.core): Promise<Ended<Reply>> => {
    const { path, requestSerialize, responseDeserialize } = present(services[service]?.[rpc], rpc);
    const options = { deadline: Date.now() + 60_000 };
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, reply?: object): void => {
        const code = present(status[error?.code ?? status.OK], 'name of the status');
        // The loader has made the reply after the definitions; a shape that a test gets wrong fails there.
        resolve({ code, details: error?.details ?? '', ...(reply ? { reply: reply as Reply } : {}) });
      };
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, new Metadata(), options, done);
    });
  };
  const poll = async <Reply>(rpc: string, id: string): Promise<Ended<Reply>> => {
    for (;;) {
      const ended = await call<Reply>(rpc, { request_id: id });
      if (ended.code !== 'UNAVAILABLE') return ended;
    }
  };
  return { call, poll, close: () => client.close() };
}
