/** Raw HTTP/2 sessions and gRPC frames, for what no honest client sends. */
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2';
import type { Test } from 'tap';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import type { EchoServer } from './echo-server.ts';

/** How a stream ended. */
export interface Answer {
  readonly http: number | undefined;
  readonly status: string | undefined;
  readonly reset: number;
}

/** An HTTP/2 session, which ends with the test. */
export function openSession(t: Test, { url }: EchoServer): ClientHttp2Session {
  const session = connect(url);
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  return session;
}

/** Sends chunks as they are and waits for the end of the stream. */
export function send(
  session: ClientHttp2Session,
  chunks: readonly Uint8Array[],
  headers: OutgoingHttpHeaders = {},
  end = true,
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Echo',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let got: Record<string, unknown> = {};
    stream.on('response', (received) => {
      got = { ...received };
    });
    stream.on('trailers', (received) => {
      got = { ...got, ...received };
    });
    stream.on('error', () => undefined);
    stream.on('close', () =>
      resolve({
        http: typeof got[':status'] === 'number' ? got[':status'] : undefined,
        status: typeof got['grpc-status'] === 'string' ? got['grpc-status'] : undefined,
        reset: stream.rstCode ?? 0,
      }),
    );
    stream.resume();
    for (const chunk of chunks) stream.write(chunk);
    if (end) stream.end();
  });
}

/** A gRPC frame; flag and length may lie. */
export function frame(body: Uint8Array, flag = 0, length = body.length): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

/** Checks that the server answers others. */
export async function stillServes(t: Test, { url }: EchoServer, message: string): Promise<void> {
  const client = openKmsClient(url);
  const answer = await client.callRaw('/test.Echo/Echo', Buffer.from('alive'), { timeoutMs: 10_000 });
  client.close();
  t.equal(Buffer.from(answer).toString(), 'alive', message);
}
