/** An attester that answers late or never, and handshakes that are given up meanwhile: what each is called. */
import { Writable } from 'node:stream';
import t from 'tap';
import type { Attester } from '../../../../attestation/attester/attester.ts';
import { KmsError } from '../../../../common/errors.ts';
import { createLogger } from '../../../../common/log.ts';
import { createTestMesh, tryPair } from '../../../helpers/mesh-pair.ts';

const LIMITS = { attestTimeoutMs: 3_000 };

// The limits' own timers keep no process alive.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

/** Answers the first `good` calls, and the others only that its caller went. */
function makeSlow(good: number): { wrap(attester: Attester): Attester; readonly asked: Promise<void> } {
  let calls = 0;
  const asked = Promise.withResolvers<void>();
  const wrap = (attester: Attester): Attester => ({
    kind: attester.kind,
    close: () => attester.close(),
    attest: (fields, signal) => {
      calls += 1;
      if (calls <= good) return attester.attest(fields, signal);
      asked.resolve();
      return new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new KmsError('CANCELLED', 'the request was cancelled')));
      });
    },
  });
  return { wrap, asked: asked.promise };
}

t.test('an attester that does not answer for a proof is named, with how long it had', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core', { wrap: makeSlow(1).wrap, limits: LIMITS });
  const [near] = await tryPair(t, core, await mesh.endpoint('engine'));
  t.match(near, { status: 'rejected', reason: { code: 'UNAVAILABLE', message: /attester gave nothing in 3000 ms/ } });
});

t.test('an attester that does not answer for a leaf is named, with how long it had', async (t) => {
  const mesh = await createTestMesh(t);
  await t.rejects(mesh.endpoint('core', { wrap: makeSlow(0).wrap, limits: LIMITS }), {
    code: 'UNAVAILABLE',
    message: /attester gave nothing in 3000 ms/,
  });
});

t.test('who gives a handshake up blames no attester, and has refused nobody', async (t) => {
  const lines: string[] = [];
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const mesh = await createTestMesh(t);
  const { wrap, asked } = makeSlow(1);
  const core = await mesh.endpoint('core', { wrap, log: createLogger({ name: 'test', level: 'info', destination }) });
  const stop = new AbortController();
  const trying = tryPair(t, core, await mesh.endpoint('engine'), { signal: stop.signal });
  await asked;
  stop.abort();
  const [near] = await trying;
  t.match(near, { status: 'rejected', reason: { code: 'CANCELLED' } });
  t.notMatch(lines.join(''), /mesh.refused/);
});
