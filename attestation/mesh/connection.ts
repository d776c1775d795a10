/**
 * A verified connection's life: judged again when the view changes, ended with either leaf, its reason told once.
 * Design §4, "Fail closed".
 */
import type { TLSSocket } from 'node:tls';
import { systemErrorCode } from '../../common/errors.ts';
import type { JudgedPeer, JudgedProof } from './judge.ts';
import { judgeAgain } from './judge.ts';
import type { MeshLeaf } from './leaf.ts';
import type { JudgedConnection, MeshConnection, MeshEndpoint, MeshPeer } from './mesh-context.ts';
import { RENEWED } from './renewal-due.ts';

/** What the handshake has found out. */
export interface Verified {
  readonly socket: TLSSocket;
  readonly peer: JudgedPeer;
  readonly proof: JudgedProof;
  /** The own leaf that this connection used. */
  readonly leaf: MeshLeaf;
}

/** Makes the connection of a finished handshake and registers it with its endpoint. */
export function openConnection({ socket, peer, proof, leaf }: Verified, endpoint: MeshEndpoint): JudgedConnection {
  const { clock, log, self } = endpoint;
  const shown = describePeer(peer, proof);
  const own = { context: self.context, incarnation: self.incarnation };
  const closeAtMs = Math.min(leaf.notAfterMs, shown.notAfterMs);
  let reason: string | undefined;
  const explain = (why: string): void => {
    reason ??= why;
  };
  const close = (why: string): void => {
    explain(why);
    socket.destroy();
  };
  // The last listener stays: whoever uses the stream may come and go, an error without one would end the process.
  socket.on('error', (error) => {
    reason ??= `failed: ${systemErrorCode(error) ?? 'stream error'}`;
    // Node tells of a record that does not decrypt and leaves the socket open.
    socket.destroy();
  });
  const closed = new Promise<string>((resolve) => {
    const settle = (): void => {
      reason ??= isRenewed(connection, endpoint) ? RENEWED : 'the peer closed it';
      log.info({ event: 'mesh.closed', role: shown.role, party: shown.party, reason });
      resolve(reason);
    };
    // Not at once: what it looks at is not made yet.
    if (socket.closed) queueMicrotask(settle);
    else socket.once('close', settle);
  });
  const rejudge = (): void => {
    if (socket.destroyed) return;
    const wrong = [...judgeAgain(peer, proof, endpoint)].map(({ reason: name, detail }) => `${name}: ${detail}`);
    if (clock.nowMs() >= leaf.notAfterMs) wrong.push('certificate: the own leaf ended');
    if (self.incarnation !== own.incarnation || Buffer.compare(self.context, own.context) !== 0) {
      wrong.push('context: this process has another context or incarnation now');
    }
    if (wrong.length > 0) close(`no longer accepted: ${wrong.join('; ')}`);
  };
  const connection: JudgedConnection = {
    stream: socket,
    peer: shown,
    service: peer.expect.service,
    renewAtMs: Math.min(leaf.renewAtMs, twoThirds(peer.leaf)),
    closeAtMs,
    closed,
    close,
    explain,
    rejudge,
  };
  endpoint.adopt(connection);
  return connection;
}

/** How far the two ends' clocks may differ about when a connection is due. */
const SKEW_MS = 60_000;

/** Whether the peer, who closes it without a word, has opened a newer connection for the same and it was time for that. */
function isRenewed(ended: MeshConnection, endpoint: MeshEndpoint): boolean {
  if (endpoint.clock.nowMs() < ended.renewAtMs - SKEW_MS) return false;
  const { peer, service } = ended;
  const same = endpoint
    .connections()
    .filter((other) => other.service === service && other.peer.role === peer.role && other.peer.party === peer.party);
  return same.includes(ended) && same.at(-1) !== ended;
}

/** Returns when two thirds of a validity have gone. */
function twoThirds({ notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number }): number {
  return notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
}

function describePeer({ leaf, document, address, release }: JudgedPeer, proof: JudgedProof): MeshPeer {
  return {
    role: leaf.role,
    party: leaf.party,
    address,
    release,
    moduleId: document.moduleId,
    instanceId: document.instanceId,
    incarnation: proof.incarnation,
    skewMs: proof.skewMs,
    notAfterMs: leaf.notAfterMs,
    leafSha256: leaf.sha256,
    hello: proof.hello,
  };
}
