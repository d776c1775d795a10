/**
 * node-tkms 0.12.8, the published wasm client, behind a typed face: what a dapp does with a user decryption's answer.
 * It shares no code with ours, so what it accepts is right.
 */
import { createRequire } from 'node:module';
import { toHex } from '../../common/bytes.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { encodeUserDecryptionPayload, type UserDecryptionPayload } from '../../wire/payloads.ts';
import { expandedPrivateKey, type UserKeyPair } from '../../wire/signcryption.ts';
import type { UserDecryption } from '../../wire/validate/decryption.ts';

const tkms: typeof import('node-tkms') = createRequire(import.meta.url)('node-tkms');

/** One plaintext as the client hands it out: big-endian. */
export interface ClientPlaintext {
  readonly value: bigint;
  readonly fheType: number;
}

/** What reaches the client: the signed payload, the EIP-712 signature, the response's extra data as hex. */
export interface ClientResponse {
  readonly payload: UserDecryptionPayload;
  readonly externalSignature: Uint8Array;
  readonly extraData?: string;
}

/**
 * Decodes a centralized node's answer with the published client, all checks on.
 *
 * @param signer - Text of the node's address.
 * @throws Whatever the client throws when it refuses.
 */
export function decodeWithPublishedClient(
  request: UserDecryption,
  response: ClientResponse,
  keys: UserKeyPair,
  signer: string,
): ClientPlaintext[] {
  return decodeAnswers(request, [response], keys, [signer]);
}

/**
 * Decodes the answers of all nodes that gave one, all checks on.
 *
 * @param signers - Texts of the addresses of all nodes, in the parties' order.
 * @throws Whatever the client throws when it refuses.
 */
export function decodeAnswers(
  request: UserDecryption,
  responses: readonly ClientResponse[],
  keys: UserKeyPair,
  signers: readonly string[],
): ClientPlaintext[] {
  const clientAddress = formatAddress(request.clientAddress);
  const contract = formatAddress(request.domain.verifyingContract);
  const servers = signers.map((signer, index) => tkms.new_server_id_addr(index + 1, signer));
  const client = tkms.new_client(servers, clientAddress, 'test');
  const secretKey = tkms.u8vec_to_ml_kem_pke_sk(expandedPrivateKey(keys.seed));
  const plaintexts = tkms.process_user_decryption_resp_from_js(
    client,
    {
      signature: undefined,
      client_address: clientAddress,
      enc_key: toHex(request.encKey),
      ciphertext_handles: request.items.map((item) => toHex(item.externalHandle)),
      eip712_verifying_contract: contract,
    },
    {
      name: request.domain.name,
      version: request.domain.version,
      chain_id: request.domain.chainId,
      verifying_contract: contract,
      salt: null,
    },
    responses.map(({ payload, externalSignature, extraData = '' }) => ({
      signature: toHex(externalSignature),
      payload: toHex(encodeUserDecryptionPayload(payload)),
      extra_data: extraData,
    })),
    tkms.ml_kem_pke_get_pk(secretKey),
    secretKey,
    true,
  );
  return plaintexts.map((plaintext) => ({
    value: BigInt(`0x${toHex(plaintext.bytes)}`),
    fheType: plaintext.fhe_type,
  }));
}

/** Returns the serialized public key that the client itself derives from a user's key. */
export function publishedPublicKey(keys: UserKeyPair): Uint8Array {
  const secretKey = tkms.u8vec_to_ml_kem_pke_sk(expandedPrivateKey(keys.seed));
  return tkms.ml_kem_pke_pk_to_u8vec(tkms.ml_kem_pke_get_pk(secretKey));
}
