/**
 * What both sides do after TLS and before any byte of the application: judge the leaf, send a proof, judge the peer's,
 * tell the verdict, hear the peer's. Everything from the socket is hostile until then.
 *
 * The socket is handed on only when every own write has been acknowledged: a stream with a write under way, given to
 * an HTTP/2 server, aborts Node.
 */
import type { TLSSocket } from 'node:tls';
import { isKmsError, KmsError, systemErrorCode } from '../../common/errors.ts';
import type { HandshakeGate } from './budget.ts';
import { openConnection } from './connection.ts';
import { encodeHello } from './hello.ts';
import { type JudgedPeer, judgeLeaf, judgeProof } from './judge.ts';
import { judgeIdentity, type Side } from './judge-identity.ts';
import { type LeafClaims, type MeshLeaf, readLeaf } from './leaf.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from './mesh-context.ts';
import { type Channel, decodeProof, encodeProof, proofDigest } from './proof.ts';
import { peerLeft, reasonCodes, refuse, refusedByPeer } from './reasons.ts';
import { ALPN, exporterValue, peerCertificate } from './tls.ts';
import { decodeVerdict, encodeVerdict, readMessage, writeMessage } from './wire-messages.ts';

/** How long a refused peer may take to read its verdict. */
const FAREWELL_MS = 250;
/** What OpenSSL calls failures to agree on version or protocol. */
const VERSION_ALERTS = /UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|APPLICATION_PROTOCOL|VERSION_TOO_LOW/;
/** What a stream fails with when the process at its other end has ended. */
const WENT_AWAY: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
]);

/** One handshake's inputs. */
export interface HandshakeDeps {
  readonly socket: TLSSocket;
  readonly side: Side;
  readonly endpoint: MeshEndpoint;
  /** The own leaf that TLS has shown. */
  readonly leaf: MeshLeaf;
  readonly expect: PeerExpectation;
  readonly signal: AbortSignal;
  readonly gate: HandshakeGate | undefined;
}

/**
 * Runs the handshake on a socket whose TLS is done.
 *
 * @throws {@link KmsError} why this side refused the peer, or that the peer refused this side. The socket is gone then.
 */
export async function handshake(deps: HandshakeDeps): Promise<MeshConnection> {
  const { socket } = deps;
  // Between two reads nobody listens; an error without a listener would end the process.
  const swallow = (): void => {};
  socket.on('error', swallow);
  const fromMs = deps.endpoint.clock.nowMs();
  let leave: (() => void) | undefined;
  let hasAccepted = false;
  try {
    const peer = await judgePeer(deps, (release) => {
      leave = release;
    });
    const connection = await exchangeProofs(deps, peer, fromMs, () => {
      hasAccepted = true;
    });
    if (leave) socket.once('close', leave);
    return connection;
  } catch (error) {
    const failure = toKmsError(error);
    await farewell(socket, failure, hasAccepted);
    leave?.();
    throw failure;
  } finally {
    // The connection has its own listener by now; a dead socket keeps this one.
    if (!socket.destroyed) socket.off('error', swallow);
  }
}

/** Steps before the proof, cheapest first; the gate counts the peer as soon as it is known who it is. */
async function judgePeer(deps: HandshakeDeps, onAdmitted: (release: () => void) => void): Promise<JudgedPeer> {
  const { socket, side, endpoint, expect, gate } = deps;
  const claims = readLeaf(peerCertificate(socket), endpoint.limits.maxLeafBytes);
  const address = judgeIdentity(claims, expect, side, endpoint);
  const admit = (): void => {
    if (gate === undefined) return;
    const release = gate.admitParty(claims.party, claims.role);
    if (release === undefined) throw refuse('busy', `party ${claims.party} has as many connections as it may`);
    onAdmitted(release);
  };
  if (address !== undefined) admit();
  const peer = await judgeLeaf(claims, address, expect, endpoint);
  if (address === undefined) admit();
  return peer;
}

/**
 * @param fromMs - When TLS was done: no proof for it can be older.
 * @param onAccepted - The own verdict is on its way: there is no other after it.
 */
async function exchangeProofs(
  deps: HandshakeDeps,
  peer: JudgedPeer,
  fromMs: number,
  onAccepted: () => void,
): Promise<MeshConnection> {
  const { socket, endpoint, leaf, signal } = deps;
  const { clock, limits } = endpoint;
  const channel = channelOf(deps, peer.leaf);
  await writeMessage(socket, 'proof', await ownProof(deps, peer.leaf, channel), signal);
  const first = await readMessage(socket, limits.maxMessageBytes, signal);
  if (first.type !== 'proof') throw refused(first.body);
  const times = { fromMs, toMs: clock.nowMs() };
  const proof = await judgeProof(decodeProof(first.body, limits.maxMessageBytes), peer, channel, times, endpoint);
  onAccepted();
  await writeMessage(socket, 'verdict', encodeVerdict([]), signal);
  const answer = await readMessage(socket, 0, signal);
  if (answer.type !== 'verdict') throw refuse('malformed', 'a second proof in place of the verdict');
  if (decodeVerdict(answer.body).length > 0) throw refused(answer.body);
  if (signal.aborted) throw signal.reason;
  if (peer.leaf.role === 'engine') endpoint.view.noteIncarnation(peer.leaf.party, proof.incarnation);
  const connection = openConnection({ socket, peer, proof, leaf }, endpoint);
  // Registering judges once more: the view may have changed since the proof was.
  if (socket.destroyed) throw new KmsError('ATTESTATION_REJECTED', await connection.closed);
  return connection;
}

function channelOf({ socket, side, leaf, expect }: HandshakeDeps, claims: LeafClaims): Channel {
  return {
    service: expect.service,
    exporter: exporterValue(socket),
    clientLeafSha256: side === 'client' ? leaf.sha256 : claims.sha256,
    serverLeafSha256: side === 'server' ? leaf.sha256 : claims.sha256,
  };
}

async function ownProof(
  { endpoint, leaf, expect, signal }: HandshakeDeps,
  claims: LeafClaims,
  channel: Channel,
): Promise<Uint8Array> {
  const { self, limits } = endpoint;
  const hello = encodeHello({ ...self.hello(), identityCertificate: self.identity?.certificate });
  const own = {
    role: self.role,
    service: expect.service,
    network: self.network,
    context: self.context,
    sender: self.party,
    receiver: claims.party,
    incarnation: self.incarnation,
  };
  const digest = proofDigest(channel, own, hello);
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(limits.attestTimeoutMs)]);
  const document = await self.attester
    .attest({ publicKey: leaf.spki, userData: digest }, bounded)
    .catch((error: unknown) => {
      // Whoever gave the handshake up says why; that is no fault of the attester.
      if (signal.aborted) throw signal.reason;
      if (bounded.aborted) throw refuse('unavailable', `the own attester gave nothing in ${limits.attestTimeoutMs} ms`);
      throw refuse('unavailable', `the own attester failed${error instanceof KmsError ? `: ${error.message}` : ''}`);
    });
  return encodeProof({ claims: own, hello, document, meshSignature: self.identity?.sign(digest) ?? new Uint8Array() });
}

/** A verdict in place of a proof: the peer has refused already. */
function refused(body: Uint8Array): KmsError {
  const codes = decodeVerdict(body);
  return codes.length > 0 ? refusedByPeer(codes) : refuse('malformed', 'a verdict before the proof');
}

/** Whatever went wrong, as the one error class; what TLS or the system threw keeps its code only. */
export function toKmsError(error: unknown): KmsError {
  if (isKmsError(error)) {
    if (error.facts.reasons !== undefined) return error;
    if (error.code === 'REQUEST_INVALID' || error.code === 'ATTESTATION_INVALID')
      return refuse('malformed', error.message);
    return error;
  }
  if (error instanceof DOMException) return refuse('deadline', 'the handshake took too long');
  const code = systemErrorCode(error);
  if (code !== undefined && VERSION_ALERTS.test(code)) {
    return refuse('version', `TLS 1.3 with ${ALPN} is needed, it ended with ${code}`);
  }
  if (code !== undefined && WENT_AWAY.has(code)) return peerLeft(error);
  if (code !== undefined) return refuse('malformed', `TLS or the stream failed with ${code}`);
  return new KmsError('INTERNAL', 'the handshake failed for a reason of our own', {}, error);
}

/**
 * Tells the peer the numbers of the reasons, unless it was the peer that refused, and closes. Waits until the peer has
 * read them or {@link FAREWELL_MS} have gone, so that a reset does not overtake them and the slot stays taken.
 *
 * A peer that was accepted may have taken the connection as its own: whatever it is sent then is the application's. So
 * one that is given up after that, because its own verdict came too late, is told nothing.
 */
async function farewell(socket: TLSSocket, failure: KmsError, hasAccepted: boolean): Promise<void> {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), FAREWELL_MS);
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  if (!hasAccepted && failure.facts.refusedBy !== 'peer') {
    await writeMessage(socket, 'verdict', encodeVerdict(reasonCodes(failure))).catch(() => socket.destroy());
  }
  socket.end();
  socket.resume();
  await gone;
  clearTimeout(timer);
}
