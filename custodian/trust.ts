/**
 * What a custodian believes before anybody asks it for help: one file, all of it public, and eight words on paper that
 * stand for every byte of it. Whoever can change the file cannot change the paper.
 */
import { z } from 'zod';
import { encodeCanonical } from '../attestation/cbor.ts';
import { type Charter, decodeCharter } from '../attestation/governance/index.ts';
import { fromHex, toHex } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { formatAddress, parseAddress } from '../wire/addresses.ts';
import { idBytes, parseRequestId, type RequestId } from '../wire/ids.ts';
import { fingerprintWords } from './fingerprint.ts';

/** Whom a custodian helps. */
export interface CustodianTrust {
  /** Charter of the node's party: network, governance, attestation root, PCR16. */
  readonly charter: Charter;
  /** Canonical bytes of the charter. */
  readonly charterBytes: Uint8Array;
  /** Address of the node's signing key, 20 bytes. */
  readonly address: Uint8Array;
  /** Ed25519 keys that sign release sets. */
  readonly releaseKeys: readonly Uint8Array[];
  /** Oldest release set whose measurements count. */
  readonly minimumReleaseSet: number;
  readonly mpcContextId: RequestId;
  readonly custodianContextId: RequestId;
}

const FORMAT = 'arca custodian trust';
const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), `needs ${bytes} bytes in hex`);

const TrustFile = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  charter: z.string().regex(/^(?:[0-9a-f]{2}){1,8192}$/, 'needs the charter in hex'),
  address: z.string(),
  releaseKeys: z.array(hex(32)).min(1).max(64),
  minimumReleaseSet: z.int().positive(),
  mpcContext: z.string(),
  custodianContext: z.string(),
});

/** Returns the text of a trust file. */
export function encodeTrust(trust: CustodianTrust): string {
  const file: z.input<typeof TrustFile> = {
    format: FORMAT,
    version: 1,
    charter: toHex(trust.charterBytes),
    address: formatAddress(trust.address),
    releaseKeys: trust.releaseKeys.map(toHex),
    minimumReleaseSet: trust.minimumReleaseSet,
    mpcContext: trust.mpcContextId,
    custodianContext: trust.custodianContextId,
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/**
 * Reads a trust file.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming every field at fault.
 */
export function decodeTrust(text: string): CustodianTrust {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new KmsError('REQUEST_INVALID', 'the trust file is no JSON', {}, error);
  }
  const parsed = TrustFile.safeParse(value);
  if (!parsed.success) {
    throw new KmsError('REQUEST_INVALID', 'the trust file does not say whom to trust', {}, parsed.error);
  }
  const { charter, address, releaseKeys, minimumReleaseSet, mpcContext, custodianContext } = parsed.data;
  const charterBytes = fromHex(charter);
  return {
    charter: decodeCharter(charterBytes),
    charterBytes,
    address: parseAddress(address, 'address'),
    releaseKeys: releaseKeys.map(fromHex),
    minimumReleaseSet,
    mpcContextId: parseRequestId(mpcContext, 'mpcContext'),
    custodianContextId: parseRequestId(custodianContext, 'custodianContext'),
  };
}

/** Returns the eight words that stand for all of it. */
export function trustWords(trust: CustodianTrust): string {
  return fingerprintWords(
    encodeCanonical([
      FORMAT,
      trust.charterBytes,
      trust.address,
      [...trust.releaseKeys],
      trust.minimumReleaseSet,
      idBytes(trust.mpcContextId),
      idBytes(trust.custodianContextId),
    ]),
  );
}
