/** How an enclave gets streams to the outside: it asks its parent, and believes nothing of the answer but that it came. */
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t from 'tap';
import { smallRequest } from '../../../../common/aws/small-request.ts';
import { ENCLAVE_PORT, PARENT_PORT } from '../../../../common/enclave-boot.ts';
import { CID, fakeParent } from '../../../helpers/fake-parent.ts';

const OK = 'HTTP/1.1 200 OK\r\n\r\n';

/** Reads the request for a connection, and answers it. */
function answering(answer: string, then: (socket: Socket, target: string) => void = () => {}) {
  return (socket: Socket): void => {
    let head = '';
    const onData = (bytes: Buffer): void => {
      head += bytes.toString();
      if (!head.endsWith('\r\n\r\n')) return;
      socket.off('data', onData);
      socket.write(answer);
      then(socket, /^CONNECT (\S+) HTTP\/1\.1\r\nHost: \1\r\n\r\n$/.exec(head)?.[1] ?? '');
    };
    socket.on('data', onData);
  };
}

t.test('a connection goes through the parent by name, and bytes follow the answer', async (t) => {
  const parent = fakeParent(t);
  const targets: string[] = [];
  const echo = answering(OK, (socket, target) => {
    targets.push(target);
    socket.pipe(socket);
  });
  await parent.serve(PARENT_PORT.egress, echo);
  for (const endpoint of ['KMS.eu-west-1.amazonaws.com:443', '127.0.0.1:1', '[2001:db8::5]:50200']) {
    const stream = await parent.link.dialOut(endpoint)(AbortSignal.timeout(60_000));
    stream.write('hello');
    const echoed = await new Promise((resolve) => stream.once('data', (bytes: Buffer) => resolve(bytes.toString())));
    t.equal(echoed, 'hello', endpoint);
    stream.destroy();
  }
  t.same(targets, ['kms.eu-west-1.amazonaws.com:443', '127.0.0.1:1', '[2001:db8::5]:50200']);
  t.ok(parent.dials.every(({ cid, port }) => cid === CID && port === PARENT_PORT.egress));
});

t.test('each refusal of the parent has a cure', async (t) => {
  for (const [answer, message] of [
    ['HTTP/1.1 403 Forbidden\r\n\r\n', /allow-list/],
    ['HTTP/1.1 502 Bad Gateway\r\n\r\n', /cannot be reached/],
    ['HTTP/1.1 503 Busy\r\n\r\n', /too many/],
    ['HTTP/1.1 504 Late\r\n\r\n', /in time/],
    ['HTTP/1.1 418 Teapot\r\n\r\n', /no answer from the parent that makes sense/],
    ['220 smtp\r\n\r\n', /no answer from the parent that makes sense/],
    ['x'.repeat(5000), /without end/],
    [`${OK}early`, /in the name of the host/],
  ] as const) {
    const parent = fakeParent(t);
    await parent.serve(PARENT_PORT.egress, answering(answer));
    const dialled = parent.link.dialOut('example.org:443')(AbortSignal.timeout(60_000));
    await t.rejects(dialled, { code: 'UNAVAILABLE', message }, answer.slice(0, 20));
  }
});

t.test('a parent that closes or says nothing makes no connection', async (t) => {
  const closing = fakeParent(t);
  await closing.serve(PARENT_PORT.egress, (socket) => void socket.resume().end('HTTP/1.1 2'));
  const dialled = closing.link.dialOut('example.org:443')(AbortSignal.timeout(60_000));
  await t.rejects(dialled, { code: 'UNAVAILABLE', message: /closed/ });

  const silent = fakeParent(t);
  const patience = new AbortController();
  await silent.serve(PARENT_PORT.egress, (socket) => void socket.once('data', () => patience.abort()));
  await t.rejects(silent.link.dialOut('example.org:443')(patience.signal), { code: 'CANCELLED' });

  await t.rejects(fakeParent(t).link.dialOut('example.org:443')(AbortSignal.timeout(60_000)), { code: 'UNAVAILABLE' });
});

t.test('what is no name is never sent', async (t) => {
  const parent = fakeParent(t);
  let asked = 0;
  await parent.serve(
    PARENT_PORT.egress,
    answering(OK, () => (asked += 1)),
  );
  for (const host of ['a b', 'a\r\nHost: b', '-a', 'a..b', '', 'a'.repeat(254), '%']) {
    await t.rejects(Promise.resolve(parent.link.connect(host, 443)), { code: 'CONFIG_INVALID' }, JSON.stringify(host));
  }
  t.equal(asked, 0);
});

t.test('clients of HTTP take such streams', async (t) => {
  const server = createHttp((request, response) => response.end(`you asked for ${request.url}`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const parent = fakeParent(t);
  const relay = answering(OK, (socket) => {
    const out = connect({ host: '127.0.0.1', port });
    t.teardown(() => void out.destroy());
    socket.pipe(out).pipe(socket);
  });
  await parent.serve(PARENT_PORT.egress, relay);
  const url = new URL('http://169.254.169.254/latest/api/token');
  const { connect: through } = parent.link;
  const asked = { url, method: 'GET', service: 'the metadata service', connect: through } as const;
  t.same(await smallRequest(asked), { status: 200, body: 'you asked for /latest/api/token' });
  const nobody = { ...asked, connect: fakeParent(t).link.connect };
  await t.rejects(smallRequest(nobody), { code: 'UNAVAILABLE' }, 'and a relay that is not there is told as ever');
});

t.test('what does not come from the parent is dropped and counted', async (t) => {
  const strangers: (readonly [number, number])[] = [];
  const parent = fakeParent(t, (cid, count) => strangers.push([cid, count]));
  const sources: string[] = [];
  const listening = await parent.link.transport(ENCLAVE_PORT.core).listen((raw, source) => {
    sources.push(source);
    raw.end();
  });
  for (const cid of [CID, 17, 2]) {
    const socket = await parent.dialEnclave(ENCLAVE_PORT.core, cid);
    await new Promise<void>((resolve) => void socket.resume().on('close', resolve));
  }
  t.same(sources, [`cid ${CID}`]);
  t.same(strangers, [
    [17, 1],
    [2, 2],
  ]);
  await listening.close();
});
