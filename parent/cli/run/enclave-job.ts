/** The import that the command line asks an enclave for, as its boot document has it. Names and public values only. */

import { toHex } from '../../../common/bytes.ts';
import { type BootImport, readBootImport } from '../../../common/enclave-boot-import.ts';
import { isKmsError } from '../../../common/errors.ts';
import { readDomain } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { readId } from '../client/keys.ts';
import { usageFailure } from '../framework/failure.ts';

/** Options of the command that say what is taken over. */
export interface EnclaveJobOptions extends DomainOptions {
  /** `s3://BUCKET/PREFIX`. */
  readonly from: string;
  readonly publicFrom: string;
  readonly rootKey?: string | undefined;
  readonly rootKeySpec: 'symm' | 'asymm';
  readonly epoch?: string | undefined;
  readonly identityOnly?: true | undefined;
  /** What only other imports take. */
  readonly party?: string | undefined;
  readonly aws?: string | undefined;
  readonly newAwsNode?: true | undefined;
  readonly newAwsQuorum?: string | undefined;
}

/** Returns the job. @throws {@link KmsError} with exit code 2 naming what is missing, or means nothing here. */
export function enclaveJob(options: EnclaveJobOptions): BootImport {
  const foreign = (['party', 'aws', 'newAwsNode', 'newAwsQuorum'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (foreign.length > 0) {
    const flags = foreign.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    const cure = 'leave it out: the configuration says which party it is, and as whom AWS is asked';
    throw usageFailure(`--config does not go with ${flags.join(', ')}`, cure);
  }
  const { name, version, chainId, verifyingContract } = readDomain(options).parsed;
  try {
    return readBootImport({
      format: 1,
      private: placeOf(options.from),
      public: placeOf(options.publicFrom),
      root_key: { arn: options.rootKey, spec: options.rootKeySpec },
      identity_only: options.identityOnly === true,
      ...(options.epoch !== undefined && { epoch: readId(options.epoch) }),
      domain: { name, version, chain_id: toHex(chainId), verifying_contract: toHex(verifyingContract) },
    });
  } catch (error) {
    if (!isKmsError(error, 'REQUEST_INVALID') || error.facts.usage === true) throw error;
    const cure = 'give --from and --public-from as s3://BUCKET/PREFIX, and --root-key as the ARN of a key of AWS KMS';
    throw usageFailure(error.message.replace('boot document: ', 'the import cannot be asked for: '), cure);
  }
}

function placeOf(text: string): unknown {
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/([^/]+)\/?$/.exec(text) ?? [];
  return { bucket, prefix };
}
