/**
 * The engines of a threshold node set in one process: shares of one test key, real arithmetic, real answers, over the
 * simulated network.
 */
import type { CallHandler, EngineCall } from '../../enclave/call.ts';
import { AnswerSigner } from '../../enclave/sign/answer-signer.ts';
import {
  type QuorumDecryptionDeps,
  quorumPublicDecryption,
  quorumUserDecryption,
} from '../../enclave/threshold/quorum-decryption.ts';
import {
  blake3,
  type FheKey,
  freeBuffer,
  keccak256,
  type MaskKeys,
  NodeKey,
  openDecryption,
  partialDecrypt,
  type SquashKeys,
  userShares,
} from '../../native/engine/index.ts';
import { present } from './present.ts';
import { SimQuorum } from './sim-quorum.ts';
import type { Teardown } from './temp-dir.ts';
import { partialInput, testMaskKeys, thresholdParties } from './threshold-keys.ts';

/** One party's engine. */
export interface QuorumNode {
  readonly party: number;
  readonly address: Uint8Array;
  readonly publicDecrypt: Ask;
  readonly userDecrypt: Ask;
}

/** Asks a party as its Core would: with a body of its own, which it may free. */
type Ask = (body: Uint8Array, call?: Partial<EngineCall>) => Promise<Uint8Array>;

/** Settings of {@link quorumNodes}. */
export interface QuorumNodesOptions {
  readonly key: FheKey;
  readonly n: number;
  readonly t: number;
  readonly squash?: SquashKeys;
  /** Parties that mask with keys of another set-up: what they send is wrong, and well signed. */
  readonly wrong?: ReadonlySet<number>;
}

/** Sets the parties up. Ask them, and let the simulation run until they have answered. */
export function quorumNodes(
  teardown: Teardown,
  { key, n, t, squash, wrong = new Set() }: QuorumNodesOptions,
): { readonly sim: SimQuorum; readonly nodes: readonly QuorumNode[] } {
  const others: MaskKeys[] = [];
  const parties = thresholdParties(teardown, key, n, t).map((party) => {
    if (!wrong.has(party.party)) return party;
    const masks = testMaskKeys(n, t, party.party, 'another set-up');
    others.push(masks);
    return { ...party, masks };
  });
  const nodeKeys = parties.map(() => NodeKey.generate());
  teardown.teardown(() => {
    for (const handle of [...others, ...nodeKeys]) handle.dispose();
  });
  const sim = new SimQuorum({
    n,
    t,
    seed: n,
    open: openDecryption,
    partialDecrypt: (party) => (items) => partialDecrypt(partialInput(present(parties[party - 1]), items, squash)),
  });
  const nodes = parties.map((party, index) => {
    const nodeKey = present(nodeKeys[index]);
    const deps: QuorumDecryptionDeps = {
      signer: new AnswerSigner(nodeKey, keccak256).inBatches(),
      hashCiphertext: blake3,
      treatV0ExtraDataAsEmpty: true,
      policy: { name: 'any', authorize: () => undefined },
      key: () => ({
        party: party.party,
        t,
        quorum: sim.party(party.party).quorum,
        partialDecrypt: sim.party(party.party).partialDecrypt,
        userShares: sim.counted((items, recipient) =>
          userShares({ ...partialInput(party, items, squash), ...recipient, nodeKey }),
        ),
      }),
    };
    return {
      party: party.party,
      address: nodeKey.address,
      publicDecrypt: asking(quorumPublicDecryption(deps)),
      userDecrypt: asking(quorumUserDecryption(deps)),
    };
  });
  return { sim, nodes };
}

function asking(handler: CallHandler): Ask {
  return async (sent, call) => {
    const body = Uint8Array.from(sent);
    return await handler({
      body,
      evidence: new Uint8Array(),
      signal: new AbortController().signal,
      report: () => undefined,
      objects: { store: async () => undefined },
      freeBody: () => freeBuffer(body),
      ...call,
    });
  };
}
