/**
 * Calls of an engine to AWS KMS: the AWS client with nothing out of the environment, a fresh attestation document for each
 * attempt, a bounded number of attempts, and in the end an error that says which register is why. SECRET: opened answers.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';
import { GetKeyPolicyCommand, KMSClient, type KMSClientConfig, type RecipientInfo } from '@aws-sdk/client-kms';
import type { Nsm } from '../../attestation/attester/attester.ts';
import { type AwsConnection, awsEndpoint } from '../../common/aws/connection.ts';
import { judgeKmsFailure } from '../../common/aws/kms-failure.ts';
import { connectingAgents } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { policyMismatches } from '../../wire/key-policy/lint-use.ts';
import { kmsUserData } from './data-keys.ts';
import { type RecipientKey, type RecipientKeys, recipientKeys } from './recipient-key.ts';

/** Settings of {@link KmsCaller}. */
export interface KmsCallerOptions extends AwsConnection {
  /** ARN of the root key; its region is where calls go. */
  readonly keyArn: string;
  /** Signs documents, and knows the registers when AWS refuses. */
  readonly nsm: Pick<Nsm, 'attest' | 'describePcr'>;
  /** Who this engine is. */
  readonly charterDigest: Uint8Array;
  readonly party: number;
  readonly credentials: NonNullable<KMSClientConfig['credentials']>;
  /** How often a call is tried; 5 unless set. */
  readonly attempts?: number;
  /** Longest that one attempt may take; 10 s unless set. */
  readonly timeoutMs?: number;
  readonly random?: RandomSource;
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;
  readonly recipients?: RecipientKeys;
  /** Told of each attempt that failed and is tried again. */
  readonly onRetry?: (error: KmsError, attempt: number) => void;
}

/** An ARN of a key of AWS KMS, by its parts. */
export interface KeyArn {
  readonly region: string;
  readonly account: string;
}

const KEY_ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):key\/[0-9a-z-]{8,64}$/;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** Registers that policies may name. */
const PCRS = Array.from({ length: 32 }, (_, index) => index);

/** Reads the ARN of a root key. @throws KmsError `CONFIG_INVALID`. */
export function readKeyArn(text: string): KeyArn {
  const [, region, account] = KEY_ARN.exec(text) ?? [];
  if (region !== undefined && account !== undefined) return { region, account };
  throw new KmsError('CONFIG_INVALID', 'a root key needs its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID');
}

/** See the file comment. */
export class KmsCaller {
  readonly client: KMSClient;
  readonly keyArn: string;
  readonly arn: KeyArn;
  readonly #options: KmsCallerOptions;
  readonly #recipients: RecipientKeys;
  #trouble: string | undefined;

  /** @throws KmsError `CONFIG_INVALID`. */
  constructor(options: KmsCallerOptions) {
    const { keyArn, fips = false, developerEndpoint, timeoutMs = 10_000 } = options;
    this.#options = options;
    this.#recipients = options.recipients ?? recipientKeys();
    this.keyArn = keyArn;
    this.arn = readKeyArn(keyArn);
    const { region } = this.arn;
    this.client = new KMSClient({
      region,
      // Named, so that no variable of the environment and no file names another.
      endpoint: developerEndpoint ?? awsEndpoint('kms', region, fips),
      useFipsEndpoint: fips,
      useDualstackEndpoint: false,
      credentials: options.credentials,
      // Who tries again makes a new document first.
      maxAttempts: 1,
      retryMode: 'standard',
      defaultsMode: 'standard',
      requestHandler: {
        ...connectingAgents(options),
        connectionTimeout: timeoutMs,
        requestTimeout: timeoutMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  /**
   * Asks for an answer to this enclave alone, and opens it.
   *
   * @param ask - Sends the request with the recipient and returns the answer's envelope, and what else of it is wanted.
   * @returns The plaintext in memory of its own, which the caller wipes.
   * @throws KmsError As `DataKeyring.generate`.
   */
  async attested<T>(
    operation: string,
    ask: (recipient: RecipientInfo, abortSignal: AbortSignal | undefined) => Promise<{ envelope: Uint8Array; rest: T }>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly plaintext: Uint8Array<ArrayBuffer>; readonly rest: T }> {
    return this.call(
      operation,
      async () => {
        const key: RecipientKey = await this.#recipients.take();
        const { nsm, charterDigest, party } = this.#options;
        const userData = kmsUserData({ charterDigest, party });
        const AttestationDocument = await nsm.attest({ publicKey: key.publicKey, userData }, signal);
        const recipient = { AttestationDocument, KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' } as const;
        const { envelope, rest } = await ask(recipient, signal);
        return { plaintext: key.open(envelope), rest };
      },
      signal,
    );
  }

  /** Runs a call until it succeeds, fails for good, or was tried often enough. @throws KmsError. */
  async call<T>(operation: string, run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const { attempts = 5, onRetry } = this.#options;
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted) throw cancelled(signal);
      try {
        const answer = await run();
        this.#trouble = undefined;
        return answer;
      } catch (thrown) {
        if (signal?.aborted) throw cancelled(signal);
        const { error, retryable, isDenied } = judgeKmsFailure(thrown, operation, this.keyArn);
        this.#trouble = error.message;
        if (isDenied) throw await this.#explained(error, signal);
        if (!retryable || attempt >= attempts) throw error;
        onRetry?.(error, attempt);
        if (signal?.aborted) throw cancelled(signal);
        await this.#pause(attempt, signal);
      }
    }
  }

  /** Why the last attempt failed; undefined after one that succeeded. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  close(): void {
    this.client.destroy();
  }

  async #pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const { random = systemRandom, sleep = (ms) => sleepFor(ms, undefined, signal && { signal }) } = this.#options;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
    const [high = 0, low = 0] = random(2);
    await sleep(Math.ceil(((high * 256 + low + 1) / 65_536) * longest), signal).catch((error: unknown) => {
      throw signal?.aborted ? cancelled(signal) : error;
    });
  }

  /** AWS does not say which condition failed; the policy and the registers do. */
  async #explained(error: KmsError, signal: AbortSignal | undefined): Promise<KmsError> {
    let differences: readonly string[];
    try {
      const asked = new GetKeyPolicyCommand({ KeyId: this.keyArn, PolicyName: 'default' });
      const { Policy = '' } = await this.client.send(asked, signal && { abortSignal: signal });
      differences = policyMismatches(Policy, await this.#registers());
    } catch {
      // Without leave to read the policy there is nothing to add to AWS's refusal.
      return error;
    }
    const why =
      differences.length === 0
        ? 'the registers are those of the policy: check the role that calls, and denials'
        : differences.join('; ');
    return new KmsError(
      error.code,
      `${error.message}: ${why}`,
      { ...error.facts, differences: differences.length },
      error,
    );
  }

  async #registers(): Promise<ReadonlyMap<number, Uint8Array>> {
    const found = await Promise.all(
      PCRS.map(async (index) => [index, (await this.#options.nsm.describePcr(index)).value] as const),
    );
    return new Map(found);
  }
}

function cancelled(signal: AbortSignal): KmsError {
  return new KmsError('CANCELLED', 'the call to AWS KMS was cancelled', {}, signal.reason);
}
