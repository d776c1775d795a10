/**
 * The EIP-712 domain of requests: the options of the command line, checked, in the forms that are needed.
 */

import { create } from '@bufbuild/protobuf';
import { fromHex } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import { type Eip712DomainMsg, Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { type Domain, parseDomain } from '../../../wire/eip712.ts';
import { usageFailure } from '../framework/failure.ts';
import type { DomainOptions, DomainText } from './domain-options.ts';

export { DEFAULT_DOMAIN } from './domain-options.ts';

/** A checked domain in the three forms that are needed. */
export interface RequestDomain {
  readonly text: DomainText;
  readonly message: Eip712DomainMsg;
  readonly parsed: Domain;
}

/** Reads the options. @throws {@link KmsError} with exit code 2 for what is no domain. */
export function readDomain(options: DomainOptions): RequestDomain {
  return requestDomain({
    name: options.domainName,
    version: options.domainVersion,
    chainId: options.domainChain,
    verifyingContract: options.domainContract,
  });
}

/** Checks a domain. @throws {@link KmsError} with exit code 2 for what is no domain. */
export function requestDomain(text: DomainText): RequestDomain {
  if (!/^\d{1,78}$/.test(text.chainId)) {
    throw usageFailure(`'${text.chainId}' is no chain id`, 'give a decimal number with --domain-chain');
  }
  const digits = BigInt(text.chainId).toString(16);
  const message = create(Eip712DomainMsgSchema, {
    name: text.name,
    version: text.version,
    chainId: fromHex(digits.padStart(digits.length + (digits.length % 2), '0')),
    verifyingContract: text.verifyingContract,
  });
  try {
    return { text, message, parsed: parseDomain(message) };
  } catch (error) {
    if (!isKmsError(error, 'REQUEST_INVALID')) throw error;
    throw usageFailure(error.message, 'correct the --domain-* options');
  }
}

/** Reads hexadecimal option text, with or without `0x`. @throws {@link KmsError} with exit code 2. */
export function readHex(text: string, option: string): Uint8Array {
  const digits = text.trim().replace(/^0x/i, '');
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) {
    throw usageFailure(`${option} needs an even number of hexadecimal digits`, `correct ${option}`);
  }
  return fromHex(digits);
}
