/**
 * One recovery: asks the custodians for their shares of the backup key, under a key that lives in this process alone, and
 * opens the backup with what they answer. SECRET: the ephemeral key, the backup key.
 *
 * Recovery material is believed for the node's signature, whose address governance has signed, wherever it was read. Spec:
 * kms-service 7.4; documents: docs/formats/custodian.md.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Attester } from '../../attestation/attester/attester.ts';
import { RECOVERY_CHALLENGE_BYTES, recoverCommitment } from '../../attestation/recovery/recover-facts.ts';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import {
  type CustodianRecoverySchema,
  type RecoveryDocument,
  RecoveryDocumentSchema,
} from '../../proto/gen/engine_pb.js';
import {
  type CustodianRecoveryOutput,
  CustodianRecoveryRequestSchema,
  PkeSchemeType,
  type RecoveryRequest,
  RecoveryRequestSchema,
  SigningSchemeType,
} from '../../proto/gen/kms_pb.js';
import { MAX_CUSTODIANS } from '../../wire/custodian/fields.ts';
import { decodeKemPrivateKey, encapsulationKeyOf } from '../../wire/custodian/kem-keys.ts';
import { recoverBackupKey } from '../../wire/custodian/operator.ts';
import { openRecoveryMaterial, type RecoveryMaterial } from '../../wire/custodian/recovery-material.ts';
import { ciphertextsDigest, type RecoveryOutput } from '../../wire/custodian/recovery-request.ts';
import { encodeEncKey } from '../../wire/enc-key.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import { verificationKeyField } from '../../wire/payloads.ts';
import { addressOfCompressedKey } from '../../wire/signatures.ts';
import { invalidField } from '../../wire/validate/common.ts';
import { parseCustodianBackupRecovery } from '../../wire/validate/custodian.ts';
import { decodeRequest } from '../decode-request.ts';
import { recoveredKeyring } from '../keychain/custodians.ts';
import type { CustodianBackup } from './custodian-backup.ts';

/** Which backup is to be recovered. */
export interface RecoverySource {
  /** Signed recovery material of the context in force. */
  readonly material: Uint8Array;
  /** Compressed key of the node, known to be its own. */
  readonly verificationKey: Uint8Array;
}

/** What recoveries need. */
export interface RecoveryDeps {
  /** Finds the material of the custodian context in force. */
  readonly source: () => Promise<RecoverySource>;
  readonly backup: Pick<CustodianBackup, 'restore'>;
  readonly attester: Attester;
  readonly network: string;
  readonly charterDigest: Uint8Array;
  /** Told of the context whose key was brought together, before anything is restored: a crash between must not forget it. */
  readonly onOpened: (contextId: RequestId) => Promise<void>;
  readonly log: Logger;
}

interface Begun {
  readonly material: RecoveryMaterial;
  readonly verificationKey: Uint8Array;
  readonly ephemeral: KeyObject;
  readonly request: RecoveryRequest;
}

/** See the file comment. The ephemeral key is gone when the process ends: a recovery is then begun again. */
export class CustodianRecovery {
  readonly #deps: RecoveryDeps;
  #begun: Begun | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
  }

  /** Context whose custodians have been asked. */
  get contextId(): RequestId | undefined {
    return this.#begun?.material.context.contextId;
  }

  /**
   * Makes an ephemeral key and returns what the custodians are asked.
   *
   * @param overwrite - Give up a recovery that was begun before: its answers are of no use any more.
   * @throws KmsError `ALREADY_EXISTS` without `overwrite` where one was begun; `REQUEST_INVALID` for recovery material that
   *   is not the node's; `PRECONDITION_FAILED` where there is none.
   */
  async begin(overwrite: boolean): Promise<RecoveryRequest> {
    return await this.#alone(async () => {
      if (this.#begun && !overwrite) {
        throw new KmsError('ALREADY_EXISTS', 'a recovery has been begun: finish it, or overwrite its key');
      }
      const { source, log } = this.#deps;
      const { material: bytes, verificationKey } = await source();
      const material = openMaterial(bytes, verificationKey);
      const { privateKey: ephemeral } = generateKeyPairSync('ml-kem-512');
      const request = requestOf(material, verificationKey, encapsulationKeyOf(ephemeral));
      this.#begun = { material, verificationKey, ephemeral, request };
      const { contextId, threshold } = material.context;
      log.info({ event: 'custodians.asked', contextId, needed: threshold + 1 });
      return request;
    });
  }

  /**
   * Returns a document over the request for one custodian, by whose challenge it is fresh.
   *
   * @throws KmsError `PRECONDITION_FAILED` without {@link begin}; `REQUEST_INVALID` for another length of challenge.
   */
  async document(challenge: Uint8Array, signal?: AbortSignal): Promise<RecoveryDocument> {
    if (challenge.byteLength !== RECOVERY_CHALLENGE_BYTES) {
      throw invalidField('challenge', `must have ${RECOVERY_CHALLENGE_BYTES} bytes`);
    }
    const { material, verificationKey, request } = this.#required();
    const { attester, network, charterDigest } = this.#deps;
    const { mpcContextId, context, ciphertexts } = material;
    const address = addressOfCompressedKey(verificationKey);
    const userData = recoverCommitment({
      charterDigest,
      mpcContextId: idBytes(mpcContextId),
      custodianContextId: idBytes(context.contextId),
      address,
      ciphertextsDigest: ciphertextsDigest(ciphertexts),
      challenge,
    });
    const document = await attester.attest({ publicKey: request.ephemOpEncKey, userData }, signal);
    const custodianContextId = context.contextId;
    const ids = { mpcContextId, custodianContextId };
    return create(RecoveryDocumentSchema, { document, network, charterDigest, ...ids, address, request });
  }

  /**
   * Brings the backup key together and restores what is missing in the private vault.
   *
   * A restore that fails half way may be finished by the same call once more.
   *
   * @param body - kms.v1.CustodianRecoveryRequest.
   * @throws KmsError `PRECONDITION_FAILED` without {@link begin}; `REQUEST_INVALID` for ids and too few good answers; as
   *   {@link CustodianBackup.restore}.
   */
  async finish(body: Uint8Array): Promise<MessageInitShape<typeof CustodianRecoverySchema>> {
    return await this.#alone(async () => {
      const message = decodeRequest(CustodianRecoveryRequestSchema, body);
      const asked = parseCustodianBackupRecovery(message);
      const { material, verificationKey, ephemeral } = this.#required();
      const { contextId } = material.context;
      if (asked !== contextId) throw invalidField('custodian_context_id', `must be ${contextId}, which was begun`);
      const { length } = message.custodianRecoveryOutputs;
      // Each costs a decapsulation and a signature check, whoever sent it.
      if (length > MAX_CUSTODIANS) throw invalidField('custodian_recovery_outputs', `has at most ${MAX_CUSTODIANS}`);
      const outputs = message.custodianRecoveryOutputs.map(outputOf);
      const recovered = recoverBackupKey(material, verificationKey, ephemeral, outputs);
      const keyring = recoveredKeyring({ contextId, privateKey: backupKeyOf(recovered.secret, material) });
      const { backup, onOpened, log } = this.#deps;
      try {
        await onOpened(contextId);
        const { restored, kept } = await backup.restore(contextId, keyring);
        this.#begun = undefined;
        const { used, skipped } = recovered;
        log.info({ event: 'custodians.recovered', contextId, used, skipped: skipped.length, restored, kept });
        const left = skipped.map(({ custodianRole: custodian, reason }) => ({ custodian, reason }));
        return { restored, kept, used: [...used], skipped: left };
      } finally {
        keyring.close();
      }
    });
  }

  #required(): Begun {
    if (this.#begun) return this.#begun;
    throw new KmsError('PRECONDITION_FAILED', 'no recovery has been begun: ask for CustodianRecoveryInit first');
  }

  /** One change at a time. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }
}

function openMaterial(bytes: Uint8Array, verificationKey: Uint8Array): RecoveryMaterial {
  try {
    return openRecoveryMaterial(bytes, verificationKey);
  } catch (error) {
    if (!isKmsError(error)) throw error;
    // Published: INVALID_ARGUMENT, also for a signature of somebody else.
    throw new KmsError('REQUEST_INVALID', `the recovery material is refused: ${error.message}`, {}, error);
  }
}

function requestOf(material: RecoveryMaterial, verificationKey: Uint8Array, ek: Uint8Array): RecoveryRequest {
  const cts: Record<string, object> = {};
  for (const [role, signcryption] of material.ciphertexts) {
    const schemes = { pkeType: PkeSchemeType.MLKEM512, signingType: SigningSchemeType.ECDSA256K1 };
    cts[String(role)] = { signcryption, ...schemes };
  }
  const operatorVerfKey = verificationKeyField(verificationKey);
  return create(RecoveryRequestSchema, { ephemOpEncKey: encodeEncKey(ek), operatorVerfKey, cts });
}

function outputOf({ custodianRole, backupOutput }: CustodianRecoveryOutput, index: number): RecoveryOutput {
  const field = `custodian_recovery_outputs[${index}]`;
  if (backupOutput === undefined) throw invalidField(field, 'has no backup_output');
  const { signcryption, pkeType, signingType } = backupOutput;
  if (pkeType !== PkeSchemeType.MLKEM512 || signingType !== SigningSchemeType.ECDSA256K1) {
    throw invalidField(field, 'must be of ML-KEM-512 and ECDSA');
  }
  return { custodianRole: Number(custodianRole), signcryption };
}

/** Takes the shared secret, which it wipes, and checks that it is the key that the node made. */
function backupKeyOf(secret: Uint8Array, { context }: RecoveryMaterial): KeyObject {
  try {
    const key = decodeKemPrivateKey(secret);
    if (equalBytes(encapsulationKeyOf(key), context.backupKey)) return key;
    throw new KmsError('REQUEST_INVALID', 'the answers give another key than the one that was shared');
  } finally {
    secret.fill(0);
  }
}
