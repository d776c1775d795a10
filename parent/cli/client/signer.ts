/**
 * Who signed: the node's own address, and the requirement that it made a signature.
 */
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { recoverSigner } from '../../../wire/signatures.ts';
import { failure } from '../framework/failure.ts';
import { fetchText } from './public-material.ts';

/**
 * Requires that `signer` made the EIP-712 signature.
 *
 * @throws {@link KmsError} `PERMISSION_DENIED` naming both addresses, `REQUEST_INVALID` if it is no signature.
 */
export function requireSigner(digest: Uint8Array, signature: Uint8Array, signer: string, what: string): void {
  const expected = formatAddress(parseAddress(signer, 'signer'));
  const found = formatAddress(recoverSigner(digest, signature));
  if (found === expected) return;
  throw failure(
    'PERMISSION_DENIED',
    `${what} is not signed by ${expected}: with this domain and extra_data the signature is one of ${found}`,
    'check --signer, and that --domain-* and --extra-data are those of the request',
    { expected, found },
  );
}

/** Returns the address of a node, as its public material has it. Who trusts nobody compares it with `--signer`. */
export async function fetchNodeAddress(publicUrl: string): Promise<string> {
  const text = (await fetchText(`${publicUrl}/VerfAddress/${SIGNING_KEY_ID}`)).trim();
  parseAddress(text, 'VerfAddress');
  return text;
}
