/**
 * The log of refused connections: each refusal while there are few, a sample and a count when a stranger makes many.
 */
import type { KmsError } from '../../common/errors.ts';
import type { Service } from '../role.ts';
import type { Side } from './judge-identity.ts';
import type { MeshEndpoint } from './mesh-context.ts';

/** Lines at once, and how long one takes to be earned again. */
const BURST = 50;
const PER_LINE_MS = 1_000;

/** What may still be said for an endpoint, and what was not. */
interface Allowance {
  lines: number;
  atMs: number;
  unsaid: number;
}

const allowances = new WeakMap<MeshEndpoint, Allowance>();

/**
 * Writes `mesh.refused`, or counts it for the next line. What this side dialled is always told.
 */
export function logRefusal(endpoint: MeshEndpoint, side: Side, service: Service, err: KmsError): void {
  const nowMs = endpoint.clock.monotonicMs();
  const allowance = allowances.get(endpoint) ?? { lines: BURST, atMs: nowMs, unsaid: 0 };
  allowances.set(endpoint, allowance);
  allowance.lines = Math.min(BURST, allowance.lines + (nowMs - allowance.atMs) / PER_LINE_MS);
  allowance.atMs = nowMs;
  if (side === 'server' && allowance.lines < 1) {
    allowance.unsaid++;
    return;
  }
  if (side === 'server') allowance.lines--;
  const more = allowance.unsaid > 0 ? { unsaid: allowance.unsaid } : {};
  allowance.unsaid = 0;
  endpoint.log.warn({ event: 'mesh.refused', side, service, err, ...more });
}
