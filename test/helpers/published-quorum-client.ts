/** node-tkms 0.12.8 as a dapp uses it with a threshold node set: many answers in, plaintexts out. */
import { createRequire } from 'node:module';
import { toHex } from '../../common/bytes.ts';
import type { UserDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { encodeUserDecryptionPayload } from '../../wire/payloads.ts';
import { expandedPrivateKey, type UserKeyPair } from '../../wire/signcryption.ts';
import type { UserDecryption } from '../../wire/validate/decryption.ts';
import { present } from './present.ts';
import type { ClientPlaintext } from './published-client.ts';

const tkms: typeof import('node-tkms') = createRequire(import.meta.url)('node-tkms');

/**
 * Reconstructs a user decryption from the answers of a threshold node set, all checks on.
 *
 * @param addresses - Of all parties, in their order.
 * @throws Whatever the client throws when it refuses.
 */
export function reconstructWithPublishedClient(
  request: UserDecryption,
  responses: readonly UserDecryptionResponse[],
  keys: UserKeyPair,
  addresses: readonly Uint8Array[],
): ClientPlaintext[] {
  const clientAddress = formatAddress(request.clientAddress);
  const contract = formatAddress(request.domain.verifyingContract);
  const servers = addresses.map((address, index) => tkms.new_server_id_addr(index + 1, formatAddress(address)));
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
    responses.map(({ payload, externalSignature, extraData }) => ({
      signature: toHex(externalSignature),
      payload: toHex(encodeUserDecryptionPayload(present(payload))),
      extra_data: toHex(extraData),
    })),
    tkms.ml_kem_pke_get_pk(secretKey),
    secretKey,
    true,
  );
  return plaintexts.map(({ bytes, fhe_type: fheType }) => ({ value: BigInt(`0x${toHex(bytes)}`), fheType }));
}
