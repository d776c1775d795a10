/**
 * One small HTTP request to a service of AWS that its client is not here for, over the streams that everything else goes
 * through. SECRET: bodies may hold credentials; none is put into an error.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type ConnectingOptions, connectingAgents } from '../connecting-agents.ts';
import { KmsError, systemErrorCode } from '../errors.ts';

/** What is asked. */
export interface SmallRequest extends ConnectingOptions {
  readonly url: URL;
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Who answers, for messages: `AWS STS`. */
  readonly service: string;
  /** 10 s unless set. */
  readonly timeoutMs?: number;
}

const MAX_ANSWER_BYTES = 65_536;

/**
 * Sends it and returns the whole answer, whatever its status.
 *
 * @throws {@link KmsError} `UNAVAILABLE` with the cure if nobody answers in time, or with too much; `PERMISSION_DENIED` for a
 *   certificate that is not the service's.
 */
export async function smallRequest(asked: SmallRequest): Promise<{ readonly status: number; readonly body: string }> {
  const { url, method, headers, body = '', service, timeoutMs = 10_000 } = asked;
  const { httpAgent, httpsAgent } = connectingAgents(asked);
  const isTls = url.protocol === 'https:';
  try {
    return await new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const length = { 'content-length': String(Buffer.byteLength(body)) };
      const options = { method, headers: { ...headers, ...length }, agent: isTls ? httpsAgent : httpAgent, signal };
      const sent = (isTls ? httpsRequest : httpRequest)(url, options, (answer) => {
        collect(answer).then((text) => resolve({ status: answer.statusCode ?? 0, body: text }), reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  } catch (error) {
    throw unreachable(error, service);
  } finally {
    httpAgent.destroy();
    httpsAgent.destroy();
  }
}

async function collect(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of answer) {
    const bytes = Buffer.from(piece);
    sizeBytes += bytes.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new RangeError('an answer that is too long');
    pieces.push(bytes);
  }
  return Buffer.concat(pieces).toString('utf8');
}

const CERTIFICATE =
  /^(?:CERT_|UNABLE_TO_|ERR_TLS_CERT|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_(?:CA|PURPOSE))/;

function unreachable(thrown: unknown, service: string): KmsError {
  const code = systemErrorCode(thrown) ?? (thrown instanceof Error ? thrown.name : 'unknown');
  const facts = { service, cause: code };
  if (CERTIFICATE.test(code)) {
    const message = `who answers in place of ${service} has no certificate for it: check the relay`;
    return new KmsError('PERMISSION_DENIED', message, facts, thrown);
  }
  const why = /^(?:ENOTFOUND|EAI_AGAIN)$/.test(code)
    ? 'its host name cannot be resolved: check DNS and the region'
    : 'it does not answer: check the network and the relay';
  return new KmsError('UNAVAILABLE', `${service} cannot be reached: ${why}`, facts, thrown);
}
