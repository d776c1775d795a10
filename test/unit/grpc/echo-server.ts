/** A server for the tests of this folder: echoes, fails, waits or streams by what the path says. */
import type { Test } from 'tap';
import {
  type GrpcLimits,
  type GrpcMethod,
  type GrpcServer,
  type GrpcServerOptions,
  openGrpcServer,
} from '../../../parent/grpc/server.ts';
import { GrpcError, STATUS } from '../../../parent/grpc/status.ts';
import type { TlsSource } from '../../../parent/grpc/tls-source.ts';

/** What a test may look at. */
export interface EchoServer {
  readonly server: GrpcServer;
  readonly url: string;
  readonly port: number;
  readonly faults: unknown[];
  /** Why TLS clients were turned away. */
  readonly refused: string[];
  /** Resolves when a call of `/test.Echo/Wait` has begun, with a promise of its cancellation. */
  waiting(): Promise<{ readonly cancelled: Promise<void> }>;
}

/** Starts the server on a free port and stops it after the test. */
export async function startEchoServer(
  t: Test,
  limits: Partial<GrpcLimits> = {},
  { tls, authorize }: { tls?: TlsSource; authorize?: GrpcServerOptions['authorize'] } = {},
): Promise<EchoServer> {
  const faults: unknown[] = [];
  const refused: string[] = [];
  let began = Promise.withResolvers<{ cancelled: Promise<void> }>();
  const methods = new Map<string, GrpcMethod>([
    ['/test.Echo/Who', { kind: 'unary', handle: async (_body, { caller }) => Buffer.from(JSON.stringify(caller)) }],
    ['/test.Echo/Echo', { kind: 'unary', handle: async (body) => body }],
    [
      '/test.Echo/Fail',
      {
        kind: 'unary',
        handle: async () => {
          throw new GrpcError(STATUS.NOT_FOUND, 'no such thing: 100% gone, é', {
            reason: 'NOT_FOUND',
            metadata: { message: 'there is nothing here' },
            retryAfterMs: 1500,
          });
        },
      },
    ],
    [
      '/test.Echo/Crash',
      {
        kind: 'unary',
        handle: async () => {
          throw new TypeError('secret detail');
        },
      },
    ],
    [
      '/test.Echo/Wait',
      {
        kind: 'unary',
        handle: (_body, call) =>
          new Promise((_resolve, reject) => {
            const cancelled = Promise.withResolvers<void>();
            call.signal.addEventListener('abort', () => {
              cancelled.resolve();
              reject(new GrpcError(STATUS.CANCELLED, 'cancelled'));
            });
            began.resolve({ cancelled: cancelled.promise });
            began = Promise.withResolvers();
          }),
      },
    ],
    [
      '/test.Echo/Count',
      {
        kind: 'server-stream',
        handle: async function* (body) {
          for (let at = 0; at < (body[0] ?? 0); at++) yield Uint8Array.of(at);
          if (body[1] === 1) throw new GrpcError(STATUS.ABORTED, 'enough');
        },
      },
    ],
  ]);
  const server = openGrpcServer({
    methods,
    limits,
    onFault: (error) => faults.push(error),
    onRefused: (reason) => refused.push(reason),
    ...(authorize ? { authorize } : {}),
  });
  const { port } = await server.listen('127.0.0.1', 0, tls);
  t.teardown(() => server.close(100));
  return {
    server,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    faults,
    refused,
    waiting: () => began.promise,
  };
}
