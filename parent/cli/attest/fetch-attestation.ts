/**
 * Asks a node for a fresh attestation over a nonce of ours. What comes back is untrusted and bounded in size and time.
 */
import { once } from 'node:events';
import { connect } from 'node:tls';
import { type ClientLeaf, readClientLeaf } from '../../../attestation/client-leaf.ts';
import { toHex } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import { locateNode, type NodeSelection } from '../client/session.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { type Attestation, parseAttestation } from './attestation-file.ts';

const TIMEOUT_MS = 20_000;
const PAGE = '/attestation';
const MAX_ANSWER_BYTES = 128 * 1024;
/** What to do about an answer other than 200. */
const CURES: Readonly<
  Record<number, ['UNIMPLEMENTED' | 'UNAVAILABLE' | 'RESOURCE_EXHAUSTED' | 'REQUEST_INVALID', string]>
> = {
  400: ['REQUEST_INVALID', 'correct what it names; parties of a quorum: http://HOST:PORT/attestation?party=1'],
  404: ['UNIMPLEMENTED', 'give the address of the public material (default port 9000), of a node that attests'],
  429: ['RESOURCE_EXHAUSTED', 'wait a moment: the node limits how often it is asked'],
  501: ['UNIMPLEMENTED', 'this node does not attest'],
  503: ['UNAVAILABLE', "the node's engine or its attester is down: ask again later"],
};

/**
 * Returns the address of the page for what a person names a node by: `host:port`, or any address of its public HTTP port.
 *
 * @throws {@link KmsError} with exit code 2 if it is neither.
 */
export function attestationUrl(target: string): string {
  const text = target.includes('://') ? target : `http://${target}`;
  if (URL.canParse(text)) {
    const url = new URL(text);
    const web = url.protocol === 'http:' || url.protocol === 'https:';
    if (web && url.hostname !== '' && (target.includes('://') || /:\d+$/.test(target))) {
      // The relay of a developer quorum asks for a party beside the nonce.
      const party = url.pathname === PAGE ? url.searchParams.get('party') : null;
      return `${url.origin}${PAGE}${party === null ? '' : `?party=${encodeURIComponent(party)}`}`;
    }
  }
  throw usageFailure(
    `'${target}' is neither a file nor an address`,
    'give a file, or HOST:PORT of the public material of a node, such as 127.0.0.1:9000',
  );
}

/** Returns the address of the page of the selected node. */
export async function attestationUrlOf(selection: NodeSelection): Promise<string> {
  const { publicUrl, local } = await locateNode(selection);
  return local?.attestationUrl ?? attestationUrl(publicUrl);
}

/**
 * Fetches a fresh attestation.
 *
 * @param url - As {@link attestationUrl} returns it.
 * @throws {@link KmsError} `UNAVAILABLE` if nothing answers, `UNIMPLEMENTED` if the node does not attest,
 *   `REQUEST_INVALID` if the answer is none.
 */
export async function fetchAttestation(url: string, nonce: Uint8Array): Promise<Attestation> {
  const address = new URL(url);
  address.searchParams.set('nonce', toHex(nonce));
  let status: number;
  let text: string;
  try {
    const response = await fetch(address, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    status = response.status;
    text = await readBounded(response);
  } catch (error) {
    const cure = "see whether the node runs ('arca doctor'), and give the address of its public material";
    throw failure('UNAVAILABLE', `${url} does not answer`, cure, { url }, error);
  }
  if (status !== 200) {
    const [code, cure] = CURES[status] ?? ['UNAVAILABLE', "see 'arca doctor' on the node"];
    throw failure(code, `${url} answered HTTP ${status}${explanation(text)}`, cure, { url, status });
  }
  return parseAttestation(parseJson(text), url);
}

/**
 * Connects to a client port with TLS and returns the certificate that it has proven to hold the key of.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if there is no TLS 1.3, `ATTESTATION_INVALID` if the certificate carries no document.
 */
export async function fetchClientLeaf(url: string): Promise<ClientLeaf> {
  const { hostname, port } = new URL(url);
  const socket = connect({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port === '' ? 443 : port),
    // The document is the judge, and it binds the key that this handshake proves.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    // P-256 alone: Node crashes on other curves where it turns certificates into objects.
    sigalgs: 'ecdsa_secp256r1_sha256',
    ALPNProtocols: ['h2'],
  });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const der = socket.getPeerX509Certificate()?.raw;
    if (der) return readClientLeaf(new Uint8Array(der));
  } catch (error) {
    if (isKmsError(error)) throw error;
    throw failure(
      'UNAVAILABLE',
      `${url} does not answer with TLS 1.3`,
      'give the client port of an attested node',
      {},
      error,
    );
  } finally {
    socket.destroy();
  }
  throw failure('UNAVAILABLE', `${url} shows no certificate`, 'give the client port of an attested node');
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new RangeError(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The node's own word for a refusal, without anything that could paint on a terminal. */
function explanation(text: string): string {
  const value = parseJson(text);
  const error = value !== null && typeof value === 'object' && 'error' in value ? value.error : undefined;
  const message = error !== null && typeof error === 'object' && 'message' in error ? error.message : undefined;
  return typeof message === 'string' ? `: ${message.replace(/[^\x20-\x7e]/g, '?').slice(0, 300)}` : '';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
