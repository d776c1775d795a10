/**
 * The charter: what of a party never changes. The engine extends PCR16 with its digest before it reads anything
 * secret, peers expect that value, and every sealed object is bound to it.
 *
 * Everything here is public. Spec: docs/formats/governance.md.
 */
import { equalBytes, fromHex, toHex } from '../../common/bytes.ts';
import { decodeLabelled, encodeLabelled, GOVERNANCE_LABEL, readBody, sha384 } from './canonical.ts';
import type { Faults, Field } from './fields.ts';
import { isDeveloperNetwork, KEY_COUNT, PARTY, readKeys, readNetwork, sortedKeys, supermajority } from './names.ts';

/** What never changes of one party. All parties of a network differ in `party` alone. */
export interface Charter {
  readonly version: 1;
  /** Network id; `dev:` in front for developer mode. */
  readonly network: string;
  /** 1-based number of this party. */
  readonly party: number;
  readonly governance: {
    /** Raw Ed25519 public keys, ascending. */
    readonly keys: readonly Uint8Array[];
    /** How many of them must sign: at least 2t + 1. */
    readonly threshold: number;
  };
  /** SHA-256 of the DER of the one attestation root. */
  readonly anchor: Uint8Array;
}

/** SHA-256 of the DER of the AWS Nitro root: the anchor of every network but those of developer mode. */
export const AWS_ANCHOR: Uint8Array = fromHex('641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b');

const WHAT = 'the charter';

/**
 * Makes a charter, sorting the keys.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function makeCharter(fields: Omit<Charter, 'version'>): Charter {
  const governance = { keys: sortedKeys(fields.governance.keys), threshold: fields.governance.threshold };
  const charter: Charter = { ...fields, version: 1, governance };
  checkCharter(charter);
  return charter;
}

/** Returns the canonical bytes of a charter: what is hashed, stored and sent. */
export function encodeCharter(charter: Charter): Uint8Array {
  return encodeLabelled(GOVERNANCE_LABEL.charter, {
    version: charter.version,
    network: charter.network,
    party: charter.party,
    governance: new Map<string, number | Uint8Array[]>([
      ['keys', [...charter.governance.keys]],
      ['threshold', charter.governance.threshold],
    ]),
    anchor: charter.anchor,
  });
}

/**
 * Reads the canonical bytes of a charter.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults; also for any encoding but the canonical one.
 */
export function decodeCharter(bytes: Uint8Array): Charter {
  return decodeLabelled(bytes, GOVERNANCE_LABEL.charter, WHAT, readCharter);
}

/**
 * Checks a charter that was put together in memory.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function checkCharter(charter: Charter): void {
  decodeCharter(encodeCharter(charter));
}

/** Returns SHA-384 of the canonical bytes: the charter's name everywhere. */
export function charterDigest(charter: Charter): Uint8Array {
  return sha384(encodeCharter(charter));
}

/** Returns the same charter for another party of the network. */
export function charterFor(charter: Charter, party: number): Charter {
  return { ...charter, party };
}

/** Returns PCR16 of an engine started under this charter: one extension of the zero register with the digest. */
export function pcr16Of(charter: Charter): Uint8Array {
  return sha384(new Uint8Array(48), charterDigest(charter));
}

/** Returns the JSON form for people; {@link charterFromJson} reads it back to the same bytes. */
export function charterToJson(charter: Charter): Readonly<Record<string, unknown>> {
  return {
    version: charter.version,
    network: charter.network,
    party: charter.party,
    governance: { keys: charter.governance.keys.map(toHex), threshold: charter.governance.threshold },
    anchor: toHex(charter.anchor),
  };
}

/**
 * Reads the JSON form.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function charterFromJson(value: unknown): Charter {
  return readBody(value, 'json', WHAT, readCharter);
}

function readCharter(body: Field, faults: Faults): Charter {
  const charter = body.object((fields): Charter => {
    fields.get('version').int({ min: 1, max: 1 });
    return {
      version: 1,
      network: readNetwork(fields.get('network')),
      party: fields.get('party').int(PARTY),
      governance: fields.get('governance').object((governance) => ({
        keys: readKeys(governance.get('keys')),
        threshold: governance.get('threshold').int(KEY_COUNT),
      })),
      anchor: fields.get('anchor').bytes(32),
    };
  });
  checkThreshold(charter, faults);
  checkAnchor(charter, faults);
  return charter;
}

function checkThreshold({ governance: { keys, threshold } }: Charter, faults: Faults): void {
  if (keys.length === 0) return;
  const least = supermajority(keys.length);
  if (threshold < least || threshold > keys.length) {
    faults.add('governance.threshold', `needs ${least} to ${keys.length} of ${keys.length} keys (2t + 1)`);
  }
}

function checkAnchor({ network, anchor }: Charter, faults: Faults): void {
  if (network === '') return;
  const isAws = equalBytes(anchor, AWS_ANCHOR);
  if (isDeveloperNetwork(network) && isAws) {
    faults.add('anchor', 'a network of developer mode needs a developer root, not that of AWS');
  }
  if (!isDeveloperNetwork(network) && !isAws) {
    faults.add('anchor', "needs the root of AWS; only networks that begin with 'dev:' have another");
  }
}
