/** A small grpc-js service over the mesh: echo, count up, sum up, chat; and a client of it. */
import { join } from 'node:path';
import {
  Client,
  type ClientOptions,
  credentials,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  type ServerDuplexStream,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Test } from 'tap';
import { type MeshChannel, openMeshChannel } from '../../../../attestation/mesh/grpc/mesh-channel.ts';
import { meshPeerOf } from '../../../../attestation/mesh/grpc/peer-of-call.ts';
import { meshInjector } from '../../../../attestation/mesh/grpc/server-injector.ts';
import { listenMesh, type MeshListener } from '../../../../attestation/mesh/listener.ts';
import type { MeshConnection, MeshEndpoint } from '../../../../attestation/mesh/mesh-context.ts';
import { tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { unixTransport } from '../../../../attestation/mesh/transport-unix.ts';
import { systemClock } from '../../../../common/clock.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const bytes = (value: Buffer): Buffer => value;

function method(path: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}

export const ECHO = {
  echo: method('/test.Echo/Echo', false, false),
  never: method('/test.Echo/Never', false, false),
  count: method('/test.Echo/Count', false, true),
  chat: method('/test.Echo/Chat', true, true),
} satisfies ServiceDefinition;

/** An echo server behind a mesh listener. */
export interface EchoServer {
  readonly target: string;
  readonly listener: MeshListener;
  readonly connections: MeshConnection[];
  /** Roles and parties that the handlers saw. */
  readonly callers: Set<string>;
}

/** Serves echo at `endpoint` to connectors. Echo answers with what came, prefixed by who called. */
export async function serveEcho(t: Test, endpoint: MeshEndpoint, transport: 'unix' | 'tcp'): Promise<EchoServer> {
  const server = new Server();
  const callers = new Set<string>();
  const echo: handleUnaryCall<Buffer, Buffer> = (call, answer) => {
    const { role, party } = meshPeerOf(call);
    callers.add(`${role} ${party}`);
    answer(null, call.request);
  };
  server.addService(ECHO, {
    echo,
    never: () => undefined,
    count: (call: ServerWritableStream<Buffer, Buffer>) => {
      for (let n = 0; n < (call.request[0] ?? 0); n++) call.write(Buffer.alloc(1000, n));
      call.end();
    },
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (chunk: Buffer) => call.write(chunk));
      call.on('end', () => call.end());
    },
  });
  const connections: MeshConnection[] = [];
  const injector = meshInjector(server, endpoint.clock);
  const path = join(tempDir(t), 's');
  const listener = await listenMesh({
    transport: transport === 'unix' ? unixTransport(path) : tcpTransport({ host: '127.0.0.1', port: 0 }),
    endpoint,
    expect: { service: 'core-grpc', role: 'connector' },
    onConnection: (connection) => {
      connections.push(connection);
      injector.inject(connection);
    },
  });
  t.teardown(async () => {
    await listener.close();
    server.forceShutdown();
  });
  return { target: transport === 'unix' ? `unix:${path}` : listener.address, listener, connections, callers };
}

/** A client of the echo service over the mesh. */
export interface EchoClient {
  readonly channel: MeshChannel;
  readonly client: Client;
  echo(text: string, deadlineMs?: number): Promise<string>;
  never(deadlineMs: number): Promise<string>;
}

/** Dials echo with a channel that renews itself. */
export function echoClient(t: Test, endpoint: MeshEndpoint, target: string, options: ClientOptions = {}): EchoClient {
  const expect = { service: 'core-grpc', role: 'core' } as const;
  const channel = openMeshChannel({ target, endpoint, expect });
  const client = new Client(target, credentials.createInsecure(), { ...options, channelOverride: channel });
  t.teardown(() => client.close());
  return {
    channel,
    client,
    echo: (text, deadlineMs) => unary(client, ECHO.echo, text, deadlineMs),
    never: (deadlineMs) => unary(client, ECHO.never, '', deadlineMs),
  };
}

/** One unary call of bytes. */
export function unary(
  client: Client,
  { path }: MethodDefinition<Buffer, Buffer>,
  text: string,
  deadlineMs = 20_000,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const done = (error: ServiceError | null, answer?: Buffer): void => {
    if (error) reject(error);
    else resolve(String(answer));
  };
  const deadline = systemClock.nowMs() + deadlineMs;
  client.makeUnaryRequest(path, bytes, bytes, Buffer.from(text), new Metadata(), { deadline }, done);
  return promise;
}
