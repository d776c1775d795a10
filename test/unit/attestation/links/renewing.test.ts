/** A connection that is kept up: opened, replaced before its end, opened again after failures, and no call lost. */
import t, { type Test } from 'tap';
import { renewalDueMs } from '../../../../attestation/mesh/renewal-due.ts';
import { type Renewable, RenewingLink, type RenewingOptions } from '../../../../attestation/mesh/renewing.ts';
import { systemClock } from '../../../../common/clock.ts';
import { KmsError } from '../../../../common/errors.ts';
import { createLogger } from '../../../../common/log.ts';

const log = createLogger({ name: 'test', level: 'silent' });

/** A connection without anything behind it. */
class Fake implements Renewable {
  readonly renewAtMs: number;
  readonly closeAtMs: number;
  readonly #closed = Promise.withResolvers<string>();
  readonly closed = this.#closed.promise;
  reason: string | undefined;

  constructor(lifeMs: number) {
    this.renewAtMs = systemClock.nowMs() + lifeMs;
    this.closeAtMs = this.renewAtMs + 60_000;
  }

  close(reason: string): void {
    this.reason ??= reason;
    this.#closed.resolve(this.reason);
  }
}

function keep(t: Test, open: () => Promise<Fake>, more: Partial<RenewingOptions<Fake>> = {}): RenewingLink<Fake> {
  const retryMs = { first: 1, longest: 4 };
  const link = new RenewingLink<Fake>({ open, peer: 'party 2', clock: systemClock, log, retryMs, ...more });
  t.teardown(() => link.close());
  return link;
}

/** Resolves when the status fits. */
function until(link: RenewingLink<Fake>, fits: (status: ReturnType<typeof link.status>) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (fits(link.status())) resolve();
      else setTimeout(look, 1);
    };
    look();
  });
}

t.test('calls run on a connection, and fail with the reason when there is none', async (t) => {
  const link = keep(t, async () => new Fake(60_000));
  await t.rejects(
    link.use(() => 1),
    { code: 'UNAVAILABLE', message: /party 2: not connected yet/ },
  );
  await link.whenConnected();
  t.equal(await link.use(async () => 7), 7);
  await t.rejects(
    link.use(() => Promise.reject(new KmsError('NOT_FOUND', 'x'))),
    { code: 'NOT_FOUND' },
  );
  t.match(link.status(), { connected: true, reason: undefined, failures: 0, opened: 1, draining: 0 });
});

t.test('a connection is replaced when it is due; calls on the old one end there', async (t) => {
  const opened: Fake[] = [];
  const link = keep(t, async () => {
    const connection = new Fake(opened.length === 0 ? 20 : 60_000);
    opened.push(connection);
    return connection;
  });
  await link.whenConnected();
  const call = Promise.withResolvers<string>();
  const slow = link.use(() => call.promise);
  await until(link, (status) => status.opened === 2);
  t.equal(opened[0]?.reason, undefined, 'the old one waits for its call');
  t.equal(link.status().draining, 1);
  t.equal(await link.use((connection) => connection === opened[1]), true, 'new calls go to the new one');
  call.resolve('done');
  t.equal(await slow, 'done');
  t.equal(opened[0]?.reason, 'renewed');
  t.equal(link.status().draining, 0);
});

t.test('an old connection that ends by itself is only told to retire', async (t) => {
  let retired = 0;
  let count = 0;
  const link = keep(t, async () =>
    Object.assign(new Fake(count++ === 0 ? 5 : 60_000), { retire: () => (retired += 1) }),
  );
  await until(link, (status) => status.opened === 2);
  t.equal(retired, 1);
});

t.test('failures are retried for ever, counted and told apart', async (t) => {
  let attempts = 0;
  const lines: unknown[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const link = keep(
    t,
    async () => {
      attempts += 1;
      if (attempts <= 3) throw new KmsError('UNAVAILABLE', 'nobody listens there');
      if (attempts <= 5) throw new KmsError('ATTESTATION_REJECTED', 'wrong release');
      return new Fake(60_000);
    },
    { log: createLogger({ name: 'test', level: 'info', destination }) },
  );
  await until(link, ({ failures }) => failures === 5);
  t.match(link.status(), { connected: false, reason: 'wrong release' });
  await link.whenConnected();
  t.match(link.status(), { failures: 0, reason: undefined });
  const failed = (reason: string, level: string) => ({ event: 'mesh.link.failed', reason, level });
  const told = [failed('nobody listens there', 'info'), failed('wrong release', 'warn'), { event: 'mesh.link.up' }];
  t.match(lines, told, 'one line for each reason');
  t.equal(lines.length, 3);
});

t.test('somebody who stays away is told as an alarm once, and so is a renewal that fails', async (t) => {
  const lines: { event: string; level: string; connected?: boolean }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  let count = 0;
  const link = keep(
    t,
    async () => {
      count += 1;
      if (count === 11) return new Fake(5);
      throw new KmsError('UNAVAILABLE', 'nobody listens there');
    },
    { log: createLogger({ name: 'test', level: 'info', destination }) },
  );
  await until(link, ({ failures }) => failures === 10);
  t.match(
    lines.map(({ event, level }) => `${level} ${event}`),
    ['info mesh.link.failed', 'warn mesh.link.failed'],
  );
  await link.whenConnected();
  await until(link, ({ failures }) => failures === 1);
  t.match(lines.at(-1), { level: 'warn', event: 'mesh.link.failed', connected: true });
});

t.test('while a renewal fails, the old connection serves, until it ends', async (t) => {
  let count = 0;
  const first = new Fake(5);
  const link = keep(t, async () => {
    if (count++ === 0) return first;
    if (count < 6) throw new KmsError('UNAVAILABLE', 'the attester is slow');
    return new Fake(60_000);
  });
  await until(link, ({ failures }) => failures >= 1);
  t.match(link.status(), { connected: true, reason: 'the attester is slow' }, 'connected, and alarmed');
  t.equal(await link.use((connection) => connection === first), true);
  await until(link, ({ opened }) => opened === 2);
  t.equal(first.reason, 'renewed');
});

t.test('a connection that ends is opened again; a peer that hangs up at once is not called in a loop', async (t) => {
  let count = 0;
  const link = keep(t, async () => {
    count += 1;
    const connection = new Fake(60_000);
    if (count < 4) connection.close('hung up');
    return connection;
  });
  await until(link, ({ opened, connected }) => opened === 4 && connected);
  t.match(link.status(), { reason: undefined });
});

t.test('waiting for a connection ends with its signal and with the link', async (t) => {
  const link = keep(t, () => Promise.reject(new KmsError('UNAVAILABLE', 'never')));
  const stop = new AbortController();
  const waiting = link.whenConnected(stop.signal);
  stop.abort();
  await t.rejects(waiting, { code: 'CANCELLED' });
  const other = link.whenConnected();
  await Promise.all([t.rejects(other, { code: 'CANCELLED' }), link.close()]);
  t.equal(link.status().connected, false);
});

t.test('closing ends all connections and an attempt under way', async (t) => {
  const opened: Fake[] = [];
  const link = keep(t, async () => {
    const connection = new Fake(5);
    opened.push(connection);
    return connection;
  });
  await link.whenConnected();
  const { done } = link.take();
  await until(link, (status) => status.opened >= 2);
  await link.close('going down');
  done();
  t.equal(opened[0]?.reason, 'going down');
  t.ok(
    opened.every(({ reason }) => reason !== undefined),
    'none is left open',
  );
});

t.test('renewal on demand opens a new connection at once', async (t) => {
  const link = keep(t, async () => new Fake(60_000));
  await link.whenConnected();
  link.renew();
  await until(link, ({ opened }) => opened === 2);
  t.pass('opened');
});

t.test('a connection that comes already due is not replaced in a loop', async (t) => {
  let nowMs = 1_000_000;
  const at = (renewAtMs: number, closeAtMs: number): number => renewalDueMs({ renewAtMs, closeAtMs }, nowMs) - nowMs;
  t.equal(at(nowMs + 5, nowMs + 9), 5, 'not due yet');
  t.equal(at(nowMs - 5, nowMs + 30_000), 10_000, 'a third of what is left');
  t.equal(at(nowMs - 5, nowMs + 3_600_000), 60_000, 'a minute at most');
  t.equal(at(nowMs, nowMs + 10), 250, 'and not at once');
  nowMs = systemClock.nowMs();
  let opened = 0;
  const link = keep(t, async () => {
    opened += 1;
    return new Fake(-1_000);
  });
  await link.whenConnected();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(opened, 1);
});
