/**
 * Puts the answers of a quorum to a user together with published code alone: imports nothing of this project.
 *
 * `node-tkms`, Zama's own client, verifies what the parties signed and reconstructs the plaintexts. Reads one JSON object on
 * standard input (the user's secret key comes that way and no other), prints one; what the client refuses goes to standard
 * error with exit code 1.
 */
import * as tkms from 'node-tkms';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const input = JSON.parse(Buffer.concat(chunks).toString('utf8'));
try {
  const { domain } = input;
  const servers = input.addresses.map((address, index) => tkms.new_server_id_addr(index + 1, address));
  const client = tkms.new_client(servers, input.clientAddress, input.params);
  const secret = tkms.u8vec_to_ml_kem_pke_sk(Buffer.from(input.secretKey, 'base64'));
  const chainId = BigInt(domain.chainId).toString(16).padStart(64, '0');
  const open = (responses) =>
    tkms
      .process_user_decryption_resp_from_js(
        client,
        {
          signature: undefined,
          client_address: input.clientAddress,
          enc_key: input.encKey,
          ciphertext_handles: input.handles,
          eip712_verifying_contract: domain.verifyingContract,
        },
        {
          name: domain.name,
          version: domain.version,
          chain_id: Buffer.from(chainId, 'hex'),
          verifying_contract: domain.verifyingContract,
          salt: null,
        },
        responses,
        tkms.ml_kem_pke_get_pk(secret),
        secret,
        true,
      )
      .map(({ bytes, fhe_type: fheType }) => ({ bytes: Buffer.from(bytes).toString('hex'), fheType }));
  const plaintexts = open(input.responses);
  const wrong = wrongAnswers(JSON.stringify(plaintexts), open);
  process.stdout.write(`${JSON.stringify({ plaintexts, wrong })}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/**
 * Indices of answers whose shares are wrong, as far as can be told: when there are as many wrong ones as the client can
 * correct, it opens without one of those and not without a right one. With fewer of them nobody can be named.
 */
function wrongAnswers(found, open) {
  if (input.responses.length <= input.least) return [];
  const opensWithout = (index) => {
    try {
      return JSON.stringify(open(input.responses.filter((_, other) => other !== index))) === found;
    } catch {
      return false;
    }
  };
  const spared = [...input.responses.keys()].filter(opensWithout);
  return spared.length < input.responses.length ? spared : [];
}
