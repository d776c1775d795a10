/** Frame links between all parties of a test, in one process and without TLS, and what sessions over them are for. */
import { FrameLink, type FrameLinkOptions } from '../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../common/clock.ts';
import type { SessionPurpose } from '../../enclave/mpc/protocols/begin-session.ts';
import type { Teardown } from './temp-dir.ts';

/** What all parties of a test's session give. */
export const TEST_PURPOSE: SessionPurpose = {
  kind: 'test',
  id: Uint8Array.of(1),
  context: Uint8Array.of(2),
  epoch: Uint8Array.of(3),
  partySet: Uint8Array.of(4),
};

/**
 * Returns the links, by party and by its peer.
 *
 * @param connect - Puts a connection between the two ends of a pair.
 */
export function linkMesh(
  t: Teardown,
  n: number,
  connect: (a: FrameLink, b: FrameLink) => void,
  options: Partial<FrameLinkOptions> = {},
): ReadonlyMap<number, ReadonlyMap<number, FrameLink>> {
  const links = new Map(Array.from({ length: n }, (_, i) => [i + 1, new Map<number, FrameLink>()]));
  for (const [a, ofA] of links) {
    for (const [b, ofB] of links) {
      if (a >= b) continue;
      const near = new FrameLink({ peer: `party ${b}`, clock: systemClock, ...options });
      const far = new FrameLink({ peer: `party ${a}`, clock: systemClock, ...options });
      ofA.set(b, near);
      ofB.set(a, far);
      connect(near, far);
    }
  }
  t.teardown(() => {
    for (const ofParty of links.values()) for (const link of ofParty.values()) link.close('test over');
  });
  return links;
}
