/**
 * Three custodians of a test, the recovery material of a node, and requests of a forged enclave under a developer
 * root. Keys here are no secrets.
 */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import {
  type Charter,
  charterDigest,
  encodeCharter,
  encodeSigned,
  makeReleaseSet,
  pcr16Of,
  rawPublicKey,
  signReleaseSet,
  withApproval,
} from '../../../attestation/governance/index.ts';
import type { AttestedRequest } from '../../../attestation/recovery/attested-request.ts';
import { type RecoverFacts, recoverCommitment } from '../../../attestation/recovery/recover-facts.ts';
import { systemRandom } from '../../../common/random.ts';
import { type CustodianKeys, deriveCustodianKeys } from '../../../custodian/custodian-keys.ts';
import type { CustodianTrust } from '../../../custodian/trust.ts';
import { encapsulationKeyOf, encodeKemPrivateKey } from '../../../wire/custodian/kem-keys.ts';
import { shareBackupKey } from '../../../wire/custodian/operator.ts';
import {
  type CustodianContext,
  type RecoveryMaterial,
  signRecoveryMaterial,
} from '../../../wire/custodian/recovery-material.ts';
import {
  ciphertextsDigest,
  encodeRecoveryRequest,
  type RecoveryRequest,
} from '../../../wire/custodian/recovery-request.ts';
import type { CustodianSetup } from '../../../wire/custodian/setup-message.ts';
import type { Signer } from '../../../wire/custodian/signcryption.ts';
import { encodeEncKey } from '../../../wire/enc-key.ts';
import { idBytes, parseRequestId } from '../../../wire/ids.ts';
import { addressOfCompressedKey } from '../../../wire/signatures.ts';
import { type Forge, makeForge } from '../../helpers/forge-document.ts';
import { charterOf, DEV_KEY, engineEntry, pcrsOf, RELEASE } from '../attestation/governance/fixtures.ts';

export const BACKUP_ID = parseRequestId('0b'.repeat(32));
export const MPC_CONTEXT = parseRequestId('07'.repeat(32));
export const CHALLENGE = new Uint8Array(16).fill(0xc4);
const NETWORK = 'dev:c0570d1a';
const RELEASE_NAME = 'arca-1.0';

/** Everything that a request says, where it differs from a good one. */
export interface RequestFields {
  readonly facts?: Partial<AttestedRequest['facts']>;
  readonly request?: Partial<RecoveryRequest>;
  readonly committed?: Partial<RecoverFacts>;
  readonly publicKey?: Uint8Array;
  readonly pcrs?: ReadonlyMap<number, Uint8Array>;
  readonly timestampMs?: number;
  readonly forge?: Forge;
}

export interface Scene {
  readonly node: Signer & { readonly address: Uint8Array };
  readonly entropies: readonly Uint8Array[];
  readonly custodians: readonly CustodianKeys[];
  readonly setups: readonly CustodianSetup[];
  /** Stored private backup key: what is shared. */
  readonly secret: Uint8Array;
  readonly material: RecoveryMaterial;
  readonly signedMaterial: Uint8Array;
  /** Private half of the requests' key. */
  readonly ephemeral: KeyObject;
  readonly charter: Charter;
  readonly trust: CustodianTrust;
  readonly forge: Forge;
  readonly releases: Uint8Array;
  releaseSet(version: number, entries?: readonly ReturnType<typeof engineEntry>[]): Uint8Array;
  attested(fields?: RequestFields): AttestedRequest;
}

const sha256 = (bytes: Uint8Array): Uint8Array => Uint8Array.from(createHash('sha256').update(bytes).digest());

/** Makes custodians 1 to 3 with threshold 1, unless told otherwise. */
export function makeScene(
  nowMs: number,
  size: { readonly custodians: number; readonly threshold: number } = { custodians: 3, threshold: 1 },
): Scene {
  const node = nodeSigner(new Uint8Array(32).fill(0x11));
  const entropies = Array.from({ length: size.custodians }, (_, index) => new Uint8Array(16).fill(index + 1));
  const custodians = entropies.map(deriveCustodianKeys);
  const setups = custodians.map((keys, index) => setupOf(keys, index + 1));
  const backup = generateKeyPairSync('ml-kem-512').privateKey;
  const ephemeral = generateKeyPairSync('ml-kem-512').privateKey;
  const context: CustodianContext = {
    threshold: size.threshold,
    contextId: BACKUP_ID,
    custodians: new Map(setups.map((setup) => [setup.role, setup])),
    backupKey: encapsulationKeyOf(backup),
  };
  const secret = encodeKemPrivateKey(backup);
  const material = shareBackupKey({ context, mpcContextId: MPC_CONTEXT, secret, signer: node, random: systemRandom });

  const forge = makeForge(nowMs);
  const charter = charterOf({
    network: NETWORK,
    governance: { keys: [rawPublicKey(DEV_KEY)], threshold: 1 },
    anchor: sha256(forge.anchor.certificate),
  });
  const releaseSet: Scene['releaseSet'] = (version, entries = [goodEntry()]) => {
    const unsigned = makeReleaseSet({ version, network: NETWORK, entries });
    const signed = RELEASE.slice(0, 3).reduce((sum, key) => signReleaseSet(sum, key), unsigned);
    return encodeSigned(withApproval('release-set', signed, DEV_KEY));
  };
  const pcrs = new Map([...pcrsOf(RELEASE_NAME), [16, pcr16Of(charter)] as const]);
  return {
    node,
    entropies,
    custodians,
    setups,
    secret,
    material,
    signedMaterial: signRecoveryMaterial(material, node),
    ephemeral,
    charter,
    trust: {
      charter,
      charterBytes: encodeCharter(charter),
      address: node.address,
      releaseKeys: RELEASE.map(rawPublicKey),
      minimumReleaseSet: 2,
      mpcContextId: MPC_CONTEXT,
      custodianContextId: BACKUP_ID,
    },
    forge,
    releases: releaseSet(2),
    releaseSet,
    attested: (fields = {}) => {
      const request = {
        ephemeralKey: encapsulationKeyOf(ephemeral),
        operatorKey: node.publicKey,
        ciphertexts: material.ciphertexts,
        ...fields.request,
      };
      const facts = {
        charterDigest: charterDigest(charter),
        mpcContextId: idBytes(MPC_CONTEXT),
        custodianContextId: idBytes(BACKUP_ID),
        address: node.address,
        challenge: CHALLENGE,
        ...fields.facts,
      };
      const committed = { ...facts, ciphertextsDigest: ciphertextsDigest(request.ciphertexts), ...fields.committed };
      const document = (fields.forge ?? forge).document({
        pcrs: fields.pcrs ?? pcrs,
        publicKey: fields.publicKey ?? encodeEncKey(request.ephemeralKey),
        userData: recoverCommitment(committed),
        ...(fields.timestampMs === undefined ? {} : { timestampMs: fields.timestampMs }),
      });
      return { request: encodeRecoveryRequest(request), facts, document };
    },
  };
}

/** A node's key, as NodeKey of the engine signs. */
export function nodeSigner(secret: Uint8Array): Scene['node'] {
  const publicKey = secp256k1.getPublicKey(secret, true);
  const signSha256 = (data: Uint8Array) => secp256k1.sign(sha256(data), secret, { prehash: false });
  return { publicKey, address: addressOfCompressedKey(publicKey), signSha256 };
}

/** The release that forged enclaves run. */
function goodEntry() {
  return engineEntry(RELEASE_NAME, {
    platform: 'developer',
    notBeforeMs: 0,
    notAfterMs: Date.UTC(2100, 0, 1),
  });
}

function setupOf(keys: CustodianKeys, role: number): CustodianSetup {
  return {
    role,
    name: `Custodian ${role}`,
    randomValue: new Uint8Array(32).fill(role),
    timestamp: { seconds: 1_790_000_000, nanos: 123_456_789 },
    ek: keys.ek,
    verificationKey: keys.signer.publicKey,
  };
}
