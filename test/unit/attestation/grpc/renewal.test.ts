/** grpc-js over the mesh while certificates of a few seconds are renewed: no call is lost. */
import { Client, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import type { Attester } from '../../../../attestation/attester/attester.ts';
import { MeshChannelCredentials } from '../../../../attestation/mesh/grpc/channel-credentials.ts';
import type { MeshConnection } from '../../../../attestation/mesh/mesh-context.ts';
import { KmsError } from '../../../../common/errors.ts';
import { createTestMesh } from '../../../helpers/mesh-pair.ts';
import { ECHO, echoClient, serveEcho, unary } from './echo.ts';

/** Long enough that a machine busy with other things renews in time. */
const ATTESTER = { leafLifeMs: 9_000 };
const WORKERS = 8;

/** Calls without a pause until `done`; returns how many there were. Any failure rejects. */
async function callUntil(done: () => boolean, call: (text: string) => Promise<string>): Promise<number> {
  let calls = 0;
  const work = async (worker: number): Promise<void> => {
    while (!done()) {
      const text = `worker ${worker}, call ${calls}`;
      if ((await call(text)) !== text) throw new Error('a wrong answer');
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  return calls;
}

/** Repeats a call that HTTP/2 refused before anything was done: it crossed the server's GOAWAY. */
async function repeatRefused(call: () => Promise<string>): Promise<string> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Error && /Stream refused by server/.test(error.message))) throw error;
    }
  }
}

async function serve(t: Test) {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core', { attester: ATTESTER }), 'unix');
  const endpoint = await mesh.endpoint('connector', { attester: ATTESTER });
  return { served, endpoint };
}

t.test('a channel of the mesh renews before the end: calls run on, old connections close', async (t) => {
  const { served, endpoint } = await serve(t);
  const { channel, echo, never } = echoClient(t, endpoint, served.target);
  await echo('first');
  // Begins on the first connection and ends after its successor has come.
  const spanning = t.rejects(never(2_000), { code: status.DEADLINE_EXCEEDED }, 'a call under way kept its connection');
  const calls = await callUntil(() => channel.renewals() === 2, echo);
  t.ok(calls > 200, `${calls} calls`);
  await spanning;
  t.equal(await served.connections[0]?.closed, 'renewed', 'the client closed it, not its age');
  t.ok(served.listener.stats().verified >= 3, 'the first and two renewals');
});

t.test('a plain grpc-js client is told in time by the server: no call that was begun is lost', async (t) => {
  const { served, endpoint } = await serve(t);
  const connections: MeshConnection[] = [];
  const credentials = new MeshChannelCredentials({
    endpoint,
    expect: { service: 'core-grpc', role: 'core' },
    onConnection: (connection) => connections.push(connection),
  });
  const client = new Client(served.target, credentials);
  t.teardown(() => client.close());
  const calls = await callUntil(
    () => connections.length === 2,
    (text) => repeatRefused(() => unary(client, ECHO.echo, text)),
  );
  t.ok(calls > 200, `${calls} calls`);
});

t.test('while renewals fail, calls go on over the old connection; one that succeeds ends the alarm', async (t) => {
  let failing = false;
  let refusals = 0;
  const wrap = (attester: Attester): Attester => ({
    kind: attester.kind,
    close: () => attester.close(),
    attest: async (fields, signal) => {
      if (!failing) return await attester.attest(fields, signal);
      refusals += 1;
      throw new KmsError('UNAVAILABLE', 'the attester is out of order');
    },
  });
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core', { attester: { leafLifeMs: 60_000 } }), 'unix');
  const endpoint = await mesh.endpoint('connector', { attester: ATTESTER, wrap });
  const { channel, echo } = echoClient(t, endpoint, served.target);
  await echo('first');
  failing = true;
  const before = await callUntil(() => refusals >= 3 && channel.failure() !== undefined, echo);
  t.ok(before > 100, `${before} calls while it was out of order`);
  t.equal(channel.renewals(), 0);
  failing = false;
  await callUntil(() => channel.renewals() === 1, echo);
  t.equal(channel.failure(), undefined);
});
