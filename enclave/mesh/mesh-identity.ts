/**
 * The party's mesh key: derived from the node key, certified by it. The seed never leaves native memory.
 *
 * Design §3, "Identity is not measurement".
 */
import { certifyIdentity } from '../../attestation/mesh/identity.ts';
import type { MeshIdentity } from '../../attestation/mesh/mesh-context.ts';
import type { NodeKey } from '../../native/engine/index.ts';

/** Returns the mesh identity of a node in a network. It is the same at every start. */
export async function meshIdentity(
  key: NodeKey,
  { network, party }: { readonly network: string; readonly party: number },
): Promise<MeshIdentity> {
  const publicKey = key.purposePublicKey('mesh');
  const certificate = await certifyIdentity({ network, party, purpose: 'mesh', key: publicKey }, (digest) =>
    key.signDigest(digest),
  );
  return { publicKey, certificate, sign: (data) => key.signPurpose('mesh', data) };
}
