/**
 * An AWS KMS, and of STS `AssumeRoleWithWebIdentity`, for developers and tests: key policies with conditions on attestation
 * documents are evaluated, documents verified against a root of your choice. Any AWS SDK talks to it.
 *
 * Keys lie in memory or in a file, in clear: nothing that matters may be encrypted with it. docs/developers/kms-emulator.md.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { TrustAnchor } from '../../attestation/document/index.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import type { EnvelopeForm } from '../../wire/cms/recipient-envelope.ts';
import type { TlsIdentity } from '../tls-files.ts';
import { AwsError } from './aws-error.ts';
import { CRYPTO_OPERATIONS } from './crypto-operations.ts';
import type { Emulator, Operation } from './emulator.ts';
import { readBody } from './fields.ts';
import { GRANT_CALLS } from './grant-operations.ts';
import { type Caller, Identities, type StaticIdentity } from './identities.ts';
import { KEY_OPERATIONS } from './key-operations.ts';
import { Keys } from './keys.ts';
import type { RequestContext } from './policy-conditions.ts';
import { KMS_ENVELOPE_FORMS } from './seal-for-recipient.ts';
import { verifySignature } from './sigv4.ts';
import { assumeRoleWithWebIdentity, type IdentityProvider, stsError, type WebIdentityRole } from './sts.ts';

/** Settings of {@link startKmsEmulator}. */
export interface KmsEmulatorOptions {
  readonly region: string;
  /** Twelve digits. */
  readonly account: string;
  /** The root that the documents of recipients must chain to. */
  readonly anchor: TrustAnchor;
  /** Who may call, with credentials. */
  readonly identities: readonly StaticIdentity[];
  readonly providers?: readonly IdentityProvider[];
  readonly roles?: readonly WebIdentityRole[];
  /** Loopback unless set. */
  readonly host?: string;
  /** Any free one unless set. */
  readonly port?: number;
  /** PEM; plain HTTP unless set. */
  readonly tls?: TlsIdentity;
  /** Keeps the keys in this file. */
  readonly statePath?: string;
  /** Encodings of answers to recipients, in turn; those of AWS unless set. */
  readonly forms?: readonly EnvelopeForm[];
  readonly clock?: Clock;
  readonly random?: RandomSource;
  /** Asked before each operation: a refusal to give in its place, or a connection to cut. */
  readonly intercept?: (operation: string) => AwsError | 'cut' | undefined;
  /** Told of each call. */
  readonly onCall?: (call: KmsCall) => void;
}

/** One call, for logs and tests: nothing in it is secret. */
export interface KmsCall {
  readonly operation: string;
  readonly requestId: string;
  /** Undefined when the signature did not say. */
  readonly caller: string | undefined;
  /** `ok`, or the exception's name. */
  readonly outcome: string;
  readonly message: string;
}

/** A running emulator. */
export interface KmsEmulator {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1024 * 1024;
const TARGET = /^TrentService\.([A-Za-z]{1,64})$/;
const JSON_TYPE = 'application/x-amz-json-1.1';
const OPERATIONS: Readonly<Record<string, Operation>> = { ...KEY_OPERATIONS, ...GRANT_CALLS, ...CRYPTO_OPERATIONS };

/**
 * Starts an emulator.
 *
 * @throws RangeError for options that make no sense, Error if the state file is damaged or the port is taken.
 */
export async function startKmsEmulator(options: KmsEmulatorOptions): Promise<KmsEmulator> {
  const { region, account, tls, host = '127.0.0.1' } = options;
  if (!/^\d{12}$/.test(account)) throw new RangeError('an AWS account has 12 digits');
  if (!/^[a-z]{2}(?:-[a-z]+)+-\d{1,2}$/.test(region)) throw new RangeError(`no AWS region: ${region}`);
  const serve = handler(options);
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A request that cannot be served at all ends its connection; there is nobody to tell.
    serve(request, response).catch(() => response.destroy());
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer({ ...tls }, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new RangeError('the emulator needs a TCP port');
  const shown = host.includes(':') ? `[${host}]` : host;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${shown}:${address.port}`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function handler(options: KmsEmulatorOptions): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { clock = systemClock, random = systemRandom, region, account, anchor } = options;
  const identities = new Identities(options.identities, { clock, random });
  const keys = new Keys({ region, account, clock, random, statePath: options.statePath });
  const forms = options.forms ?? KMS_ENVELOPE_FORMS;
  let turn = 0;
  const emulator: Emulator = {
    region,
    account,
    anchor,
    clock,
    random,
    keys,
    nextForm: () => forms[turn++ % forms.length] ?? { lengths: 'indefinite', content: 'primitive' },
  };

  const kms = async (operation: string, request: IncomingMessage, body: Uint8Array, seen: Noted): Promise<Answer> => {
    const { headers, method = '', url = '/' } = request;
    const nowMs = clock.nowMs();
    const find = (id: string, token: string | undefined) => identities.find(id, token);
    const caller = verifySignature({ method, target: url, headers, body }, { region, service: 'kms', nowMs, find });
    seen.caller = caller.arn;
    const serve = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
    if (serve === undefined) throw new AwsError('UnknownOperationException', `${operation} is not emulated.`);
    const connection = contextOf(request, caller, nowMs);
    const answer = await serve({ emulator, operation, fields: readBody(body), caller, connection });
    return { status: 200, type: JSON_TYPE, body: answer === undefined ? '' : JSON.stringify(answer) };
  };

  const sts = (request: IncomingMessage, body: Uint8Array, requestId: string): Answer => {
    const query = request.method === 'GET' ? (request.url ?? '').split('?')[1] : Buffer.from(body).toString('utf8');
    const deps = { providers: options.providers ?? [], roles: options.roles ?? [], identities, nowMs: clock.nowMs() };
    return {
      status: 200,
      type: 'text/xml',
      body: assumeRoleWithWebIdentity(new URLSearchParams(query), deps, requestId),
    };
  };

  return async (request, response) => {
    const requestId = requestIdOf(random(16));
    const route = routeOf(request);
    const body = await readAll(request);
    const operation = route === undefined ? '' : route.kind === 'kms' ? route.operation : actionOf(request, body);
    const planned = options.intercept?.(operation);
    if (planned === 'cut') {
      response.destroy();
      return;
    }
    const seen: Noted = { caller: undefined, outcome: 'ok', message: '' };
    let answer: Answer;
    try {
      if (planned !== undefined) throw planned;
      if (body === undefined) throw new AwsError('RequestEntityTooLargeException', 'Request is too large.', 413);
      if (route === undefined) throw new AwsError('UnknownOperationException', '', 404);
      if (route.kind === 'sts' && operation !== 'AssumeRoleWithWebIdentity') {
        throw new AwsError('InvalidAction', 'Could not find operation');
      }
      answer = route.kind === 'kms' ? await kms(operation, request, body, seen) : sts(request, body, requestId);
    } catch (error) {
      const refusal = error instanceof AwsError ? error : new AwsError('KMSInternalException', 'internal failure', 500);
      seen.outcome = refusal.code;
      seen.message = refusal.message;
      answer = route?.kind === 'sts' ? errorXml(refusal, requestId) : errorJson(refusal);
    }
    options.onCall?.({ operation, requestId, ...seen });
    response.writeHead(answer.status, {
      'content-type': answer.type,
      'content-length': Buffer.byteLength(answer.body),
      'x-amzn-requestid': requestId,
      // SDKs set their clock by it.
      date: new Date(clock.nowMs()).toUTCString(),
    });
    response.end(answer.body);
  };
}

/** What is learnt of a call on the way. */
interface Noted {
  caller: string | undefined;
  outcome: string;
  message: string;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function errorJson({ code, message, status }: AwsError): Answer {
  // AWS writes the refusals of its front door with a capital.
  const field = code === 'AccessDeniedException' ? 'Message' : 'message';
  return {
    status,
    type: JSON_TYPE,
    body: JSON.stringify({ __type: code, ...(message === '' ? {} : { [field]: message }) }),
  };
}

function errorXml(error: AwsError, requestId: string): Answer {
  return { status: error.status, type: 'text/xml', body: stsError(error, requestId) };
}

type Route = { readonly kind: 'kms'; readonly operation: string } | { readonly kind: 'sts' };

function routeOf({ method, headers, url = '/' }: IncomingMessage): Route | undefined {
  const target = headers['x-amz-target'];
  const operation = typeof target === 'string' ? TARGET.exec(target)?.[1] : undefined;
  if (method === 'POST' && operation !== undefined) return { kind: 'kms', operation };
  const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true;
  if ((method === 'POST' && isForm) || (method === 'GET' && url.includes('Action='))) return { kind: 'sts' };
  return undefined;
}

function actionOf({ method, url = '/' }: IncomingMessage, body: Uint8Array | undefined): string {
  const query = method === 'GET' ? url.split('?')[1] : Buffer.from(body ?? []).toString('utf8');
  return new URLSearchParams(query).get('Action') ?? '';
}

async function readAll(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return size <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined;
}

/** What conditions see of caller and connection. */
function contextOf(request: IncomingMessage, caller: Caller, nowMs: number): RequestContext {
  const isTls = 'encrypted' in request.socket && request.socket.encrypted === true;
  return new Map([
    ['aws:principalarn', [caller.principalArn]],
    ['aws:principalaccount', [caller.account]],
    ['aws:principaltype', [caller.isRoot ? 'Account' : caller.names.length > 1 ? 'AssumedRole' : 'User']],
    ['aws:securetransport', [String(isTls)]],
    ['aws:sourceip', [request.socket.remoteAddress ?? '']],
    ['aws:currenttime', [new Date(nowMs).toISOString()]],
    ['aws:epochtime', [String(Math.floor(nowMs / 1000))]],
    ['kms:calleraccount', [caller.account]],
  ]);
}

function requestIdOf(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
