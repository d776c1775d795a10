/**
 * What the attack tests share: an honest acceptor, an adversary with the means of an honest process, and what the
 * acceptor found out.
 */
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import type { MeshConnection, PeerExpectation } from '../../../../attestation/mesh/mesh-context.ts';
import type { Role, Service } from '../../../../attestation/role.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { createTestMesh, expectation, type TestEndpoint, type TestMesh } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import type { Teardown } from '../../../helpers/temp-dir.ts';
import {
  type ForgedLeaf,
  type ForgeOptions,
  type ForgeProofOptions,
  forgeLeaf,
  forgeProof,
  type Intruder,
  intrude,
  sendProof,
} from './adversary.ts';

/** Never fires. */
export const SIGNAL = new AbortController().signal;

/** What the honest side found out: the reasons of its refusal, or `accepted`. */
export async function outcome(attempt: Promise<MeshConnection>): Promise<string> {
  try {
    const connection = await attempt;
    connection.close('a test is done');
    return 'accepted';
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return String(error.facts.reasons ?? error.code);
  }
}

/** An honest acceptor and an adversary that has the means of an honest process. */
export interface Scene {
  readonly mesh: TestMesh;
  readonly honest: TestEndpoint;
  readonly evil: TestEndpoint;
  readonly service: Service;
  readonly expect: PeerExpectation;
}

/** Opens both: engine against engine unless told otherwise; engines are parties 1 and 2. */
export async function stage(t: Teardown, evilRole: Role = 'engine', honestRole: Role = 'engine'): Promise<Scene> {
  const mesh = await createTestMesh(t, { parties: 3 });
  const service: Service = evilRole === 'engine' && honestRole === 'engine' ? 'engine-data' : 'engine-calls';
  const honest = await mesh.endpoint(honestRole);
  const evil = await mesh.endpoint(evilRole, { party: service === 'engine-data' ? 2 : 1 });
  return { mesh, honest, evil, service, expect: expectation(service, evilRole) };
}

/** The adversary dials with a leaf of its choice and then does as told; returns what the acceptor found. */
export async function attack(
  t: Teardown,
  { honest, evil, service, expect }: Scene,
  leafOptions: Partial<ForgeOptions>,
  act: (intruder: Intruder, leaf: ForgedLeaf) => Promise<void> = (intruder, leaf) =>
    forgeProof(evil.self, leaf, intruder).then((proof) => sendProof(intruder, proof)),
): Promise<string> {
  const [near, far] = await rawPair(t);
  const verdict = outcome(acceptMesh(far, honest, expect, SIGNAL));
  const leaf = await forgeLeaf({ self: evil.self, ...leafOptions });
  const intruder = await intrude(near, leaf, service);
  // The acceptor may hang up in the middle of whatever the adversary does.
  await Promise.race([act(intruder, leaf).catch(() => {}), verdict]);
  intruder.socket.resume().end();
  const found = await verdict;
  near.destroy();
  return found;
}

/** An attack with an honest leaf and a proof that is wrong somewhere. */
export const attackProof = (t: Teardown, scene: Scene, options: ForgeProofOptions): Promise<string> =>
  attack(t, scene, {}, async (intruder, leaf) =>
    sendProof(intruder, await forgeProof(scene.evil.self, leaf, intruder, options)),
  );

/** Names of a refusal's reasons, or `accepted`. */
export function reasonsOf(result: PromiseSettledResult<MeshConnection>): string {
  if (result.status === 'fulfilled') return 'accepted';
  if (!isKmsError(result.reason)) throw result.reason;
  return String(result.reason.facts.reasons ?? result.reason.code);
}
