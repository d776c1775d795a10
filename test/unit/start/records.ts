/** Signed starts of the nodes of these tests. */
import { charterDigest } from '../../../attestation/governance/index.ts';
import { certifyIdentity } from '../../../attestation/mesh/identity.ts';
import {
  type SignedStart,
  type StartRecord,
  type StartSigner,
  signStart,
} from '../../../attestation/start/start-record.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { START, testCharter } from './start-values.ts';

/** A node that signs starts. */
export interface StartingNode {
  readonly party: number;
  readonly key: NodeKey;
  readonly signer: StartSigner;
  /** Signs a start of this party, changed as asked for. */
  record(change?: Partial<StartRecord>): SignedStart;
}

/** Makes a node of the test network. */
export async function startingNode(t: Teardown, party: number): Promise<StartingNode> {
  const key = NodeKey.generate();
  t.teardown(() => key.dispose());
  const claim = { network: 'dev:test', party, purpose: 'record', key: key.purposePublicKey('record') } as const;
  const certificate = await certifyIdentity(claim, (digest) => key.signDigest(digest));
  const signer: StartSigner = { certificate, sign: (digest) => key.signPurpose('record', digest) };
  const own = { party, charterDigest: charterDigest(testCharter(party)) };
  return { party, key, signer, record: (change = {}) => signStart({ ...START, ...own, ...change }, signer) };
}
