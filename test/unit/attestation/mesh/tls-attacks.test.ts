/**
 * Attacks below the proof: on TLS, on the leaf certificate's form, on the messages' form, and on time.
 */
import { Duplex } from 'node:stream';
import { connect, createSecureContext } from 'node:tls';
import t from 'tap';
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import { connectMesh } from '../../../../attestation/mesh/connect.ts';
import { readLeafCertificate } from '../../../../attestation/mesh/leaf-certificate.ts';
import { encodeProof } from '../../../../attestation/mesh/proof.ts';
import { MESH_REASONS } from '../../../../attestation/mesh/reasons.ts';
import { decodeVerdict, writeMessage } from '../../../../attestation/mesh/wire-messages.ts';
import { expectation, tryPair } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import { forgeLeaf, forgeProof, intrude, receive, sendProof, toPem } from './adversary.ts';
import { attack, outcome, reasonsOf, SIGNAL, stage } from './scene.ts';

const HOUR_MS = 3_600_000;

t.test('TLS 1.2 is refused', async (t) => {
  const { honest, evil, expect } = await stage(t);
  const [near, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, honest, expect, SIGNAL));
  const leaf = await forgeLeaf({ self: evil.self });
  const tls = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
  await t.rejects(intrude(near, leaf, 'engine-data', { tls }));
  t.equal(await verdict, 'version');
});

t.test('another protocol inside TLS is refused before anything is signed', async (t) => {
  const { honest, evil, expect } = await stage(t);
  for (const ALPNProtocols of [['h2'], ['arca-mesh/2'], []]) {
    const [near, far] = await rawPair(t);
    const verdict = outcome(acceptMesh(far, honest, expect, SIGNAL));
    const { tls } = await forgeLeaf({ self: evil.self });
    const secureContext = createSecureContext({ ...tls, minVersion: 'TLSv1.3' });
    connect({ socket: near, secureContext, rejectUnauthorized: false, ALPNProtocols }).on('error', () => {});
    t.equal(await verdict, 'version', String(ALPNProtocols));
  }
});

t.test('a client without a certificate is refused', async (t) => {
  const { honest, expect } = await stage(t);
  const [near, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, honest, expect, SIGNAL));
  const options = { rejectUnauthorized: false, ALPNProtocols: ['arca-mesh/1'] };
  connect({ socket: near, ...options }).on('error', () => {});
  t.equal(await verdict, 'certificate');
});

t.test('a resumption is refused and the server gives no usable ticket', async (t) => {
  const { honest, evil, expect } = await stage(t);
  const leaf = await forgeLeaf({ self: evil.self });
  const secureContext = createSecureContext({ ...leaf.tls, minVersion: 'TLSv1.3' });
  const dial = async (session?: Buffer): Promise<{ found: Promise<string>; tickets: Buffer[]; reused: boolean }> => {
    const [near, far] = await rawPair(t);
    const found = outcome(acceptMesh(far, honest, expect, SIGNAL));
    const tickets: Buffer[] = [];
    const more = session === undefined ? {} : { session };
    const socket = connect({
      socket: near,
      secureContext,
      rejectUnauthorized: false,
      ALPNProtocols: ['arca-mesh/1'],
      ...more,
    });
    socket.on('session', (ticket) => tickets.push(ticket)).on('error', () => {});
    await new Promise((resolve) => socket.once('secureConnect', resolve).once('close', resolve));
    const reused = socket.isSessionReused();
    // The server's first message comes after its tickets.
    await new Promise((resolve) => socket.once('readable', resolve).once('close', resolve));
    socket.end();
    return { found, tickets, reused };
  };
  const first = await dial();
  t.equal(await first.found, 'UNAVAILABLE', 'the peer left before its proof');
  const ticket = first.tickets[0];
  const second = await dial(ticket);
  t.notOk(second.reused, 'the second handshake was a full one, or none');
  t.match(await second.found, /UNAVAILABLE|resumed/);
});

t.test('more than one certificate is refused', async (t) => {
  const scene = await stage(t);
  const [near, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, scene.honest, scene.expect, SIGNAL));
  const [leaf, other] = await Promise.all([forgeLeaf({ self: scene.evil.self }), forgeLeaf({ self: scene.evil.self })]);
  const cert = Array.from({ length: 8 }, () => toPem(other.der));
  await intrude(near, leaf, 'engine-data', { tls: { cert: [toPem(leaf.der), ...cert].join('') } }).catch(() => {});
  t.match(await verdict, /certificate|malformed/);
});

t.test('a server with more than one certificate is refused by the client', async (t) => {
  const scene = await stage(t);
  const [near, far] = await rawPair(t);
  const verdict = outcome(connectMesh(near, scene.honest, scene.expect, SIGNAL));
  const [leaf, other] = await Promise.all([forgeLeaf({ self: scene.evil.self }), forgeLeaf({ self: scene.evil.self })]);
  const tls = { cert: toPem(leaf.der) + toPem(other.der) };
  const intruder = await intrude(far, leaf, 'engine-data', { isServer: true, tls });
  t.equal(await verdict, 'certificate');
  intruder.socket.destroy();
});

t.test('a leaf with an oversized extension is refused before it is read', async (t) => {
  t.equal(await attack(t, await stage(t), { payload: new Uint8Array(17_000) }), 'malformed');
});

t.test('a leaf whose extension is garbage is refused', async (t) => {
  for (const payload of [new Uint8Array(), Uint8Array.of(0x80), new Uint8Array(400).fill(0x9f)]) {
    t.equal(await attack(t, await stage(t), { payload }), 'malformed');
  }
});

t.test('an expired leaf and one that is not valid yet are refused', async (t) => {
  const scene = await stage(t);
  const now = Date.now();
  const expired = { notBeforeMs: now - 5_000, notAfterMs: now - 2_000 };
  t.equal(await attack(t, scene, expired), 'certificate');
  const early = { notBeforeMs: now + 1_200_000, notAfterMs: now + HOUR_MS };
  t.equal(await attack(t, scene, early), 'certificate');
});

t.test('a leaf must not outlive the chain of its document, nor begin before it', async (t) => {
  const scene = await stage(t);
  const now = Date.now();
  t.equal(await attack(t, scene, { notAfterMs: now + 24 * HOUR_MS }), 'certificate');
  t.equal(await attack(t, scene, { notBeforeMs: now - 48 * HOUR_MS }), 'certificate');
});

t.test('a leaf whose own signature does not hold is refused', async (t) => {
  const scene = await stage(t);
  const good = await forgeLeaf({ self: scene.evil.self });
  const other = await forgeLeaf({ self: scene.evil.self });
  // The signature of another certificate under a body that TLS proves the key of.
  const der = Uint8Array.from(good.der);
  der[der.length - 1] = (der[der.length - 1] ?? 0) ^ 1;
  t.same(readLeafCertificate(der).spki, good.spki);
  t.not(other.der, good.der);
  const [near, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, scene.honest, scene.expect, SIGNAL));
  const intruder = await intrude(near, { ...good, der }, 'engine-data', { tls: { cert: toPem(der) } });
  t.equal(await verdict, 'malformed');
  intruder.socket.destroy();
});

t.test('an unknown version or kind of message and a wrong length are refused', async (t) => {
  const heads: readonly (readonly [string, readonly number[], string])[] = [
    ['version 2', [1, 2, 0, 0, 0, 0, 0, 0], 'version'],
    ['kind 3', [3, 1, 0, 0, 0, 0, 0, 0], 'malformed'],
    ['reserved bits', [1, 1, 1, 0, 0, 0, 0, 0], 'malformed'],
    ['4 GiB', [1, 1, 0, 0, 255, 255, 255, 255], 'malformed'],
    ['one byte too many', [1, 1, 0, 0, 1, 0x40, 0, 0], 'malformed'],
    ['a long verdict', [2, 1, 0, 0, 65, 0, 0, 0], 'malformed'],
    ['nothing in a proof', [1, 1, 0, 0, 0, 0, 0, 0], 'malformed'],
  ];
  for (const [what, head, reason] of heads) {
    const found = await attack(t, await stage(t), {}, async ({ socket }) => {
      socket.write(Uint8Array.from(head));
    });
    t.equal(found, reason, what);
  }
});

t.test('garbage in place of a proof is refused, and so is each cut of a good one', async (t) => {
  const scene = await stage(t);
  for (const fill of [0x00, 0x9f, 0xff, 0x84]) {
    const found = await attack(t, scene, {}, ({ socket }) =>
      writeMessage(socket, 'proof', new Uint8Array(5000).fill(fill)),
    );
    t.equal(found, 'malformed', `filled with ${fill}`);
  }
  for (const share of [0.1, 0.5, 0.9, 0.999]) {
    const found = await attack(t, scene, {}, async (intruder, leaf) => {
      const proof = encodeProof(await forgeProof(scene.evil.self, leaf, intruder));
      await sendProof(intruder, proof.subarray(0, Math.floor(proof.length * share)));
    });
    t.equal(found, 'malformed', `cut at ${share}`);
  }
});

t.test('a document of another kind of bytes in the proof is refused', async (t) => {
  const scene = await stage(t);
  const found = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = await forgeProof(scene.evil.self, leaf, intruder);
    const document = Uint8Array.from(proof.document);
    document[document.length - 1] = (document[document.length - 1] ?? 0) ^ 1;
    await sendProof(intruder, { ...proof, document });
  });
  t.equal(found, 'document');
});

t.test('whoever is too slow is dropped at the deadline, at each step', async (t) => {
  const scene = await stage(t);
  const honest = await scene.mesh.endpoint('engine', { limits: { handshakeTimeoutMs: 2_000 } });
  const [, silent] = await rawPair(t);
  t.equal(await outcome(acceptMesh(silent, honest, scene.expect, SIGNAL)), 'deadline', 'silent before TLS');
  const slow = { ...scene, honest };
  t.equal(await attack(t, slow, {}, () => new Promise(() => {})), 'deadline', 'silent after TLS');
});

t.test('a peer that never reads cannot hold a handshake beyond its deadline', async (t) => {
  const { mesh, evil, expect } = await stage(t);
  const honest = await mesh.endpoint('engine', { limits: { handshakeTimeoutMs: 2_000 } });
  const [near, far] = await rawPair(t);
  let stuck = false;
  // A stream that takes no more bytes, as one with full buffers does.
  const full = new Duplex({
    read: () => {},
    write: (chunk, _encoding, done) => {
      if (!stuck) far.write(chunk, done);
    },
  });
  far.on('data', (chunk) => full.push(chunk)).on('end', () => full.push(null));
  const verdict = outcome(acceptMesh(full, honest, expect, SIGNAL));
  const leaf = await forgeLeaf({ self: evil.self });
  const intruder = await intrude(near, leaf, 'engine-data');
  stuck = true;
  t.equal(await verdict, 'deadline');
  t.ok(full.destroyed);
  intruder.socket.destroy();
});

t.test('the caller may end a handshake, and gets its own reason', async (t) => {
  const { honest, expect } = await stage(t);
  const stop = new AbortController();
  const [, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, honest, expect, stop.signal));
  stop.abort();
  t.equal(await verdict, 'CANCELLED');
  t.ok(far.destroyed, 'the raw stream is gone');
});

t.test('clocks more than 60 s apart are refused, with both times in the error', async (t) => {
  const scene = await stage(t);
  for (const offsetMs of [-90_000, 90_000]) {
    const clock = { nowMs: () => Date.now() + offsetMs, monotonicMs: () => performance.now() };
    const late = await scene.mesh.endpoint('engine', { party: 2, clock });
    const [near, far] = await tryPair(t, late, scene.honest);
    t.match(reasonsOf(far), /clock/, `${offsetMs} ms`);
    t.match(reasonsOf(near), /clock/);
    const messages = [near, far].map((side) => (side.status === 'rejected' ? side.reason.message : ''));
    t.ok(
      messages.some((text) => /clock said 2\d{3}-.*Z, this one says 2\d{3}-.*Z/.test(text)),
      'with both times',
    );
  }
});

t.test('the difference of clocks within the bound is told', async (t) => {
  const scene = await stage(t);
  const clock = { nowMs: () => Date.now() + 30_000, monotonicMs: () => performance.now() };
  const [near, far] = await tryPair(t, await scene.mesh.endpoint('engine', { party: 2, clock }), scene.honest);
  if (near.status === 'rejected' || far.status === 'rejected') throw new Error('both accept');
  t.ok(Math.abs(far.value.peer.skewMs - 30_000) < 20_000, `the peer is ${far.value.peer.skewMs} ms ahead`);
  t.ok(Math.abs(near.value.peer.skewMs + 30_000) < 20_000, `the peer is ${near.value.peer.skewMs} ms behind`);
  near.value.close('done');
});

t.test('a proof that lay about for longer than its bound is refused', async (t) => {
  const mesh = (await stage(t)).mesh;
  let skippedMs = 0;
  const clock = { nowMs: () => Date.now() + skippedMs, monotonicMs: () => performance.now() };
  const honest = await mesh.endpoint('engine', { clock });
  const evil = await mesh.endpoint('engine', { party: 2 });
  const scene = { mesh, honest, evil, service: 'engine-data', expect: expectation('engine-data', 'engine') } as const;
  const found = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = await forgeProof(evil.self, leaf, intruder);
    await receive(intruder);
    skippedMs = 61_000;
    await sendProof(intruder, proof);
  });
  t.equal(found, 'clock');
});

t.test('a refused peer is told the reason by number', async (t) => {
  const scene = await stage(t);
  const [near, far] = await rawPair(t);
  const refused = outcome(acceptMesh(far, scene.honest, expectation('engine-data', 'core'), SIGNAL));
  const intruder = await intrude(near, await forgeLeaf({ self: scene.evil.self }), 'engine-data');
  const { type, body } = await receive(intruder);
  t.equal(type, 'verdict');
  t.same(decodeVerdict(body), [MESH_REASONS.role]);
  intruder.socket.destroy();
  t.equal(await refused, 'role');
});
