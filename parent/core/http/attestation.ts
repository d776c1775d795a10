/**
 * `GET /attestation?nonce=HEX`: the engine's attestation document over the asker's nonce, and the facts that it commits
 * to, as JSON. Anyone may ask, so that anyone can check without an attester of his own. Design §3, §4.
 *
 * Everything here is public; whoever checks recomputes the commitment and trusts none of the facts before that.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ATTEST_NONCE_BYTES } from '../../../attestation/attest-facts.ts';
import { fromHex, toHex } from '../../../common/bytes.ts';
import type { Clock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { Attest } from '../admin/attest.ts';
import { sendText } from './http-server.ts';
import { openSourceLimiter, type SourceLimits } from './source-limiter.ts';

/** What the page needs. */
export interface AttestationPageDeps {
  readonly attest: Attest;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: SourceLimits;
}

/** Answers requests for the page; the caller has looked at the path. */
export type AttestationPage = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Path of the page. */
export const ATTESTATION_PATH = '/attestation';

const DEFAULT_LIMITS: SourceLimits = {
  perSource: { burst: 30, perSecond: 2 },
  global: { burst: 120, perSecond: 20 },
  maxSources: 4096,
};
/** Documents being made at once: the device makes one at a time, and the queue behind it stays short. */
const MAX_AT_ONCE = 16;

/** Makes the page. */
export function attestationPage({ attest, clock, log, limits = DEFAULT_LIMITS }: AttestationPageDeps): AttestationPage {
  const limiter = openSourceLimiter(limits, clock);
  let underWay = 0;
  return async (request, response) => {
    response.setHeader('cache-control', 'no-store');
    const nonce = readNonce(request.url ?? '');
    if (typeof nonce === 'string') {
      sendFault(response, 400, 'REQUEST_INVALID', nonce);
      return;
    }
    const waitSecs = underWay >= MAX_AT_ONCE ? 1 : limiter.take(request.socket.remoteAddress ?? 'unknown');
    if (waitSecs > 0) {
      response.setHeader('retry-after', waitSecs);
      sendFault(response, 429, 'RESOURCE_EXHAUSTED', 'too many attestation documents were asked for; try again later');
      return;
    }
    underWay++;
    try {
      await answer(nonce, response, attest);
    } catch (error) {
      refuse(response, error, log);
    } finally {
      underWay--;
    }
  };
}

async function answer(nonce: Uint8Array, response: ServerResponse, attest: Attest): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const { document, network, charterDigest, party, address, release, incarnation } = await attest(nonce, gone.signal);
  const facts = {
    network,
    charterDigest: toHex(charterDigest),
    party,
    address: formatAddress(address),
    release,
    incarnation: Number(incarnation),
  };
  const body = {
    label: 'arca-attest-1',
    nonce: toHex(nonce),
    document: Buffer.from(document).toString('base64'),
    facts,
  };
  sendText(response, 200, 'application/json', `${JSON.stringify(body)}\n`);
}

/** Returns the nonce of a request target, or what is wrong with it. */
function readNonce(target: string): Uint8Array | string {
  const { min, max } = ATTEST_NONCE_BYTES;
  const at = target.indexOf('?');
  const nonces = new URLSearchParams(at < 0 ? '' : target.slice(at + 1)).getAll('nonce');
  const [text] = nonces;
  if (text === undefined) return `needs ?nonce= with ${min} to ${max} random bytes of yours in hexadecimal digits`;
  if (nonces.length > 1) return 'needs one nonce, not several';
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(text)) return 'the nonce needs an even number of hexadecimal digits, without 0x';
  if (text.length < min * 2 || text.length > max * 2) return `the nonce needs ${min} to ${max} bytes`;
  return fromHex(text);
}

/** An engine that is away, slow or without its attester is a matter of time; the rest is ours to mend. */
function refuse(response: ServerResponse, error: unknown, log: Logger): void {
  if (response.destroyed) return;
  if (!isKmsError(error)) {
    log.error({ event: 'attestation.failed', err: error });
    sendFault(response, 500, 'INTERNAL', 'internal error');
    return;
  }
  log.warn({ event: 'attestation.failed', err: error });
  if (error.code === 'REQUEST_INVALID') {
    sendFault(response, 400, error.code, error.message);
    return;
  }
  const passing = error.code !== 'INTERNAL' && error.code !== 'UNIMPLEMENTED';
  if (passing) response.setHeader('retry-after', 2);
  const code = passing ? 'UNAVAILABLE' : error.code;
  sendFault(response, passing ? 503 : error.code === 'UNIMPLEMENTED' ? 501 : 500, code, error.message);
}

function sendFault(response: ServerResponse, status: number, code: string, message: string): void {
  sendText(response, status, 'application/json', `${JSON.stringify({ error: { code, message } })}\n`);
}
