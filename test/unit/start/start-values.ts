/** Charters and records of the starts in these tests. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { type Charter, makeCharter, rawPublicKey } from '../../../attestation/governance/index.ts';
import type { StartRecord } from '../../../attestation/start/start-record.ts';

const governanceKey = createPublicKey(generateKeyPairSync('ed25519').privateKey);

/** Charter of a party of the test network. */
export const testCharter = (party: number): Charter =>
  makeCharter({
    network: 'dev:test',
    party,
    governance: { keys: [rawPublicKey(governanceKey)], threshold: 1 },
    anchor: new Uint8Array(32).fill(1),
  });

/** A start of party 2. */
export const START: StartRecord = {
  charterDigest: new Uint8Array(48).fill(1),
  party: 2,
  incarnation: 3,
  nonce: new Uint8Array(32).fill(2),
  manifest: { sequence: 7, digest: new Uint8Array(48).fill(3) },
  releases: 4,
  record: 5,
  context: new Uint8Array(32).fill(4),
  epoch: new Uint8Array(32).fill(5),
  leaf: new Uint8Array(32).fill(6),
  source: undefined,
  base: undefined,
};
