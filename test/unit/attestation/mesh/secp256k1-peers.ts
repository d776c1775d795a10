/**
 * A child process that talks to peers with secp256k1 certificates: `getPeerCertificate` or a trusted secp256k1
 * authority would end it with a segmentation fault. Prints one line for each refusal and `alive` at the end.
 */
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import { connectMesh } from '../../../../attestation/mesh/connect.ts';
import { createTestMesh, expectation } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import { hostileChain } from './hostile-chain.ts';
import { outcome, SIGNAL } from './scene.ts';

const cleanups: (() => unknown)[] = [];
const t = { teardown: (clean: () => unknown) => void cleanups.push(clean) };
const mesh = await createTestMesh(t);
const honest = await mesh.endpoint('engine');
const expect = expectation('engine-data', 'engine');

/** Speaks TLS over the other end, whatever comes of it. */
function speak(raw: Duplex, isServer: boolean, cert: string, key: string): void {
  const secureContext = createSecureContext({ cert, key, ca: [], minVersion: 'TLSv1.3' });
  const options = { secureContext, rejectUnauthorized: false, requestCert: true, ALPNProtocols: ['arca-mesh/1'] };
  const socket = isServer ? new TLSSocket(raw, { isServer, ...options }) : connect({ socket: raw, ...options });
  socket.on('error', () => {});
}

const trusted = process.argv[2];
const peers = trusted === undefined ? hostileChain() : [JSON.parse(readFileSync(trusted, 'utf8'))];
for (const { name, cert, key } of peers) {
  for (const isServer of [true, false]) {
    const [near, far] = await rawPair(t);
    speak(far, isServer, cert, key);
    const attempt = isServer ? connectMesh(near, honest, expect, SIGNAL) : acceptMesh(near, honest, expect, SIGNAL);
    process.stdout.write(`${name} ${isServer ? 'server' : 'client'}: ${await outcome(attempt)}\n`);
  }
}
for (const clean of cleanups.reverse()) await clean();
process.stdout.write('alive\n');
