/**
 * What goes wrong on the way to a vsock connection, with peers that never answer and a native part that fails: every
 * errno has its error, and nothing is left behind.
 */
import { constants } from 'node:os';
import t from 'tap';
import { errnoName, type NativeRelay, type NitroBinding, type RelayListener } from '../../../native/nitro/binding.ts';
import { vsockConnect, vsockListen } from '../../../native/nitro/index.ts';
import { VsockRelay } from '../../../native/nitro/vsock.ts';
import { fakeVsock, openDescriptors } from './nitro-fake.ts';

const SILENT_CID = 99;

t.test('a connect that nobody answers ends after its time', async (t) => {
  const { relay } = fakeVsock(t);
  const before = openDescriptors();
  const started = performance.now();
  await t.rejects(relay.connect({ cid: SILENT_CID, port: 1, timeoutMs: 300 }), {
    code: 'DEADLINE_EXCEEDED',
    facts: { errno: 'ETIMEDOUT' },
  });
  // A timer counts from when its turn of the loop began, so it may end early by as much as that turn took.
  t.ok(performance.now() - started >= 150);
  t.equal(openDescriptors(), before);
});

t.test('an abort ends a connect that is under way', async (t) => {
  const { relay } = fakeVsock(t);
  const controller = new AbortController();
  const given = relay.connect({ cid: SILENT_CID, port: 1, timeoutMs: 60_000, signal: controller.signal });
  setImmediate(() => controller.abort(new Error('enough')));
  await t.rejects(given, { code: 'CANCELLED', cause: { message: 'enough' } });
});

t.test('many connects under way end each in its own time and way', async (t) => {
  const { relay } = fakeVsock(t);
  const before = openDescriptors();
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, (_, i) => {
      const signal = i % 2 ? AbortSignal.timeout(5 + i) : undefined;
      return relay
        .connect({ cid: SILENT_CID, port: i, timeoutMs: signal ? 10_000 : 20 + i, signal })
        .catch((e: { code: string }) => e.code);
    }),
  );
  t.equal(outcomes.filter((code) => code === 'DEADLINE_EXCEEDED').length, 50);
  t.equal(outcomes.filter((code) => code === 'CANCELLED').length, 50);
  while (openDescriptors() > before) await new Promise((resolve) => setImmediate(resolve));
});

/** A native part that answers as the test says. */
function scripted(result: { connect?: number; listen?: number; start?: number }) {
  let tell: RelayListener = () => {};
  const cancelled: number[] = [];
  const relay: NativeRelay = {
    connect: () => result.connect ?? 0,
    listen: () => result.listen ?? 0,
    join: () => -constants.errno.EMFILE,
    traffic: () => [0, 0],
    cancel: (id) => void cancelled.push(id),
    size: () => 0,
  };
  const binding: NitroBinding = {
    openDevice: () => -constants.errno.ENOENT,
    startRelay: (onEvent) => {
      tell = onEvent;
      return result.start ?? relay;
    },
  };
  return { binding, cancelled, tell: (...event: Parameters<RelayListener>) => tell(...event) };
}

const CONNECT_CODES: [keyof typeof constants.errno, string][] = [
  ['ETIMEDOUT', 'DEADLINE_EXCEEDED'],
  ['EACCES', 'PERMISSION_DENIED'],
  ['EPERM', 'PERMISSION_DENIED'],
  ['EAFNOSUPPORT', 'UNIMPLEMENTED'],
  ['EMFILE', 'RESOURCE_EXHAUSTED'],
  ['ENOBUFS', 'RESOURCE_EXHAUSTED'],
  ['ECONNRESET', 'UNAVAILABLE'],
  ['ENODEV', 'UNAVAILABLE'],
];

t.test('every errno of a connect has its error, found at once or later', async (t) => {
  for (const [errno, code] of CONNECT_CODES) {
    const number = constants.errno[errno];
    const atOnce = new VsockRelay(scripted({ connect: -number }).binding);
    const options = { cid: 3, port: 7, timeoutMs: 10 };
    await t.rejects(atOnce.connect(options), { code, facts: { errno, cid: 3, port: 7 } }, `${errno} at once`);
    const { binding, tell } = scripted({});
    const later = new VsockRelay(binding).connect(options);
    tell(2, 1, -1, number, 0, 0, 0);
    await t.rejects(later, { code, facts: { errno, cid: 3, port: 7 } }, `${errno} later`);
  }
});

t.test('every errno of a listener has its error', async (t) => {
  for (const [errno, code] of [
    ['EADDRINUSE', 'ALREADY_EXISTS'],
    ['EACCES', 'PERMISSION_DENIED'],
    ['EAFNOSUPPORT', 'UNIMPLEMENTED'],
    ['EADDRNOTAVAIL', 'UNAVAILABLE'],
  ] as const) {
    const relay = new VsockRelay(scripted({ listen: -constants.errno[errno] }).binding);
    await t.rejects(
      relay.listen({ port: 7 }, () => {}),
      { code, facts: { errno, port: 7 } },
      errno,
    );
  }
});

t.test('a relay that does not start says so', async (t) => {
  const { binding } = scripted({ start: -constants.errno.ENOMEM });
  t.throws(() => new VsockRelay(binding), { code: 'RESOURCE_EXHAUSTED', facts: { errno: 'ENOMEM' } });
});

t.test('events about what is not known any more do nothing', async (t) => {
  const { binding, tell } = scripted({});
  const relay = new VsockRelay(binding);
  tell(2, 55, -1, constants.errno.ETIMEDOUT, 0, 0, 0);
  tell(4, 55, -1, 0, 0, 0, 0);
  tell(5, 0, -1, constants.errno.ECONNRESET, 0, 0, 55);
  tell(77, 1, -1, 0, 0, 0, 0);
  t.equal(relay.size, 0);
});

t.test('an errno without a name is told by its number', async (t) => {
  t.equal(errnoName(-constants.errno.ENOENT), 'ENOENT');
  t.equal(errnoName(-4095), 'errno 4095');
});

t.test('the public face refuses wrong addresses without a socket', async (t) => {
  await t.rejects(vsockConnect({ cid: -1, port: 1, timeoutMs: 1 }), { code: 'REQUEST_INVALID' });
  await t.rejects(
    vsockListen({ port: -1 }, () => {}),
    { code: 'REQUEST_INVALID' },
  );
});
