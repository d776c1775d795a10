/**
 * Who calls: users and roles with static credentials, and sessions that STS gave out. Emulated secrets pass here.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../common/clock.ts';
import type { RandomSource } from '../../common/random.ts';
import { AwsError } from './aws-error.ts';
import { type PolicyDocument, readPolicy } from './policy-document.ts';

/** A user, a role or the account itself (`…:root`) with credentials that do not expire. */
export interface StaticIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** `arn:aws:iam::<account>:user/…`, `…:role/…` or `…:root`. */
  readonly arn: string;
  /** Its IAM policies, JSON. The account itself needs none. */
  readonly policies?: readonly string[];
}

/** Who a request comes from. */
export interface Caller {
  /** As error messages name it. */
  readonly arn: string;
  /** The ARNs under which policies and grants may name it. */
  readonly names: readonly string[];
  /** What `aws:PrincipalArn` is. */
  readonly principalArn: string;
  readonly account: string;
  readonly partition: string;
  readonly isRoot: boolean;
  readonly policies: readonly PolicyDocument[];
}

/** Credentials as a signature check needs them. */
export interface Credentials {
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
  readonly expiresAtMs: number | undefined;
  readonly caller: Caller;
}

/** What STS hands out. */
export interface Session {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiresAtMs: number;
  readonly arn: string;
  readonly roleId: string;
}

const ARN = /^arn:(aws[a-z-]*):iam::(\d{12}):(root|user\/[\w+=,.@/-]+|role\/[\w+=,.@/-]+)$/;

/** Returns what an ARN of IAM says. @throws RangeError for any other text. */
export function callerOf(arn: string, policies: readonly string[] = []): Caller {
  const [, partition, account, name] = ARN.exec(arn) ?? [];
  if (partition === undefined || account === undefined || name === undefined) {
    throw new RangeError(`not the ARN of a user, a role or an account: ${arn}`);
  }
  const read = policies.map((policy) => readPolicy(policy, 'identity'));
  return { arn, names: [arn], principalArn: arn, account, partition, isRoot: name === 'root', policies: read };
}

/** All who may call one emulator. */
export class Identities {
  readonly #known = new Map<string, Credentials>();
  readonly #clock: Clock;
  readonly #random: RandomSource;

  constructor(identities: readonly StaticIdentity[], o: { readonly clock: Clock; readonly random: RandomSource }) {
    this.#clock = o.clock;
    this.#random = o.random;
    for (const { accessKeyId, secretAccessKey, arn, policies } of identities) {
      const caller = callerOf(arn, policies);
      this.#known.set(accessKeyId, { secretAccessKey, sessionToken: undefined, expiresAtMs: undefined, caller });
    }
  }

  /** Returns whose an access key is. @throws AwsError if it is nobody's, or its session has ended. */
  find(accessKeyId: string, sessionToken: string | undefined): Credentials {
    const found = this.#known.get(accessKeyId);
    if (found === undefined || found.sessionToken !== sessionToken) {
      throw new AwsError('UnrecognizedClientException', 'The security token included in the request is invalid.');
    }
    if (found.expiresAtMs !== undefined && this.#clock.nowMs() >= found.expiresAtMs) {
      throw new AwsError('ExpiredTokenException', 'The security token included in the request is expired');
    }
    return found;
  }

  /** Opens a session of a role. */
  openSession(role: Caller, name: string, lifeMs: number): Session {
    this.#forgetEnded();
    const accessKeyId = `ASIA${this.#text(10).toUpperCase().slice(0, 16)}`;
    const secretAccessKey = Buffer.from(this.#random(30)).toString('base64');
    const sessionToken = Buffer.from(this.#random(96)).toString('base64');
    const expiresAtMs = this.#clock.nowMs() + lifeMs;
    const roleName = role.arn.slice(role.arn.lastIndexOf('/') + 1);
    const arn = `arn:${role.partition}:sts::${role.account}:assumed-role/${roleName}/${name}`;
    const caller: Caller = { ...role, arn, names: [role.arn, arn] };
    this.#known.set(accessKeyId, { secretAccessKey, sessionToken, expiresAtMs, caller });
    const digest = createHash('sha256').update(role.arn).digest('hex');
    const roleId = `AROA${digest.toUpperCase().slice(0, 17)}`;
    return { accessKeyId, secretAccessKey, sessionToken, expiresAtMs, arn, roleId };
  }

  #text(sizeBytes: number): string {
    return Buffer.from(this.#random(sizeBytes)).toString('hex');
  }

  /** A day after its end a session is unknown, not expired: the table stays small. */
  #forgetEnded(): void {
    const limit = this.#clock.nowMs() - 86_400_000;
    for (const [id, { expiresAtMs }] of this.#known) {
      if (expiresAtMs !== undefined && expiresAtMs < limit) this.#known.delete(id);
    }
  }
}
