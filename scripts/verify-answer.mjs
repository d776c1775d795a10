/**
 * Judges two answers of a node with published code alone: imports nothing of this project.
 *
 * `node-tkms`, Zama's own client, opens the user's answer and verifies what the node signed for it; `viem` recovers
 * the signer of the public one. Reads one JSON object on standard input (the user's throwaway secret key comes that
 * way and no other), prints one, and exits with 0 only if both answers are right.
 */
import * as tkms from 'node-tkms';
import { encodeAbiParameters, hexToBytes, numberToHex, recoverTypedDataAddress } from 'viem';

const PUBLIC_DECRYPT_TYPES = {
  PublicDecryptVerification: [
    { name: 'ctHandles', type: 'bytes32[]' },
    { name: 'decryptedResult', type: 'bytes' },
    { name: 'extraData', type: 'bytes' },
  ],
};

async function readInput() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

/** Who signed the public answer, and does it say the expected values? */
async function judgePublic({ domain, handles, values, extraData, externalSignature }, { signer, expected }) {
  const words = values.map(() => ({ type: 'uint256' }));
  const recovered = await recoverTypedDataAddress({
    domain: { ...domain, chainId: Number(domain.chainId) },
    types: PUBLIC_DECRYPT_TYPES,
    primaryType: 'PublicDecryptVerification',
    message: {
      ctHandles: handles.map((handle) => `0x${handle.padStart(64, '0')}`),
      decryptedResult: encodeAbiParameters(words, values.map(BigInt)),
      extraData: `0x${extraData}`,
    },
    signature: `0x${externalSignature}`,
  });
  return { ok: recovered === signer && isExpected(values, expected), signer: recovered, values };
}

/** Does the published client open and accept the user's answer, with the expected values in it? */
function judgeUser(
  { domain, handles, clientAddress, encKey, secretKey, payload, extraData, externalSignature },
  { signer, expected, params },
) {
  const client = tkms.new_client([tkms.new_server_id_addr(1, signer)], clientAddress, params);
  const secret = tkms.u8vec_to_ml_kem_pke_sk(Buffer.from(secretKey, 'base64'));
  const request = {
    signature: undefined,
    client_address: clientAddress,
    enc_key: encKey,
    ciphertext_handles: handles,
    eip712_verifying_contract: domain.verifyingContract,
  };
  const eip712 = {
    name: domain.name,
    version: domain.version,
    chain_id: hexToBytes(numberToHex(BigInt(domain.chainId), { size: 32 })),
    verifying_contract: domain.verifyingContract,
    salt: null,
  };
  const responses = [{ signature: externalSignature, payload, extra_data: extraData }];
  const publicKey = tkms.ml_kem_pke_get_pk(secret);
  const plaintexts = tkms.process_user_decryption_resp_from_js(
    client,
    request,
    eip712,
    responses,
    publicKey,
    secret,
    true,
  );
  // The client hands values out with the high byte first.
  const values = plaintexts.map(({ bytes }) => BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`).toString());
  return { ok: isExpected(values, expected), values };
}

function isExpected(values, expected) {
  return values.length > 0 && values.length === expected.length && values.every((value, i) => value === expected[i]);
}

const input = await readInput();
let verdict;
try {
  const publicAnswer = await judgePublic(input.public, input);
  const userAnswer = judgeUser(input.user, input);
  verdict = { verified: publicAnswer.ok && userAnswer.ok, public: publicAnswer, user: userAnswer };
} catch (error) {
  verdict = { verified: false, error: error instanceof Error ? error.message : String(error) };
}
process.stdout.write(`${JSON.stringify(verdict)}\n`);
process.exitCode = verdict.verified ? 0 : 1;
