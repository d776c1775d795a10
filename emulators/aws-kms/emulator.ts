/**
 * What the operations of one emulated AWS KMS share: its keys, who calls, how a request is judged.
 */
import type { TrustAnchor } from '../../attestation/document/index.ts';
import type { Clock } from '../../common/clock.ts';
import type { RandomSource } from '../../common/random.ts';
import type { EnvelopeForm } from '../../wire/cms/recipient-envelope.ts';
import { authorize } from './authorize.ts';
import { AwsError } from './aws-error.ts';
import type { EncryptionContext, Fields } from './fields.ts';
import { grantsFor } from './grants.ts';
import type { Caller } from './identities.ts';
import { type Key, type Keys, partitionOf } from './keys.ts';
import type { RequestContext } from './policy-conditions.ts';

/** One emulated KMS. */
export interface Emulator {
  readonly region: string;
  readonly account: string;
  /** The root that documents of recipients must chain to. */
  readonly anchor: TrustAnchor;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly keys: Keys;
  /** Form of the next answer to a recipient. */
  readonly nextForm: () => EnvelopeForm;
}

/** One call: its fields, who makes it, and what conditions see of connection and caller. */
export interface Call {
  readonly emulator: Emulator;
  readonly operation: string;
  readonly fields: Fields;
  readonly caller: Caller;
  readonly connection: RequestContext;
}

/** Serves one operation; what it returns is the answer's body. */
export type Operation = (call: Call) => Promise<Fields | undefined> | Fields | undefined;

/** What else conditions see of a request. */
export interface Seen {
  readonly encryption?: EncryptionContext;
  readonly more?: RequestContext;
}

/** Judges a call that concerns a key. @throws AwsError `AccessDeniedException`. */
export function authorizeKey({ operation, caller, connection }: Call, key: Key, seen: Seen = {}): void {
  const encryption = seen.encryption ?? new Map<string, string>();
  const context = new Map([
    ...connection,
    ...contextOfKey(key),
    ...contextOfEncryption(encryption),
    ...(seen.more ?? []),
  ]);
  const request = { caller, action: `kms:${operation}`, resource: key.arn, context };
  authorize(request, { policy: key.policy, grants: grantsFor(key.grants, caller, operation, encryption) });
}

/** Judges a call that concerns no key: IAM policies alone. @throws AwsError `AccessDeniedException`. */
export function authorizeAccount({ emulator, operation, caller, connection }: Call, more: RequestContext): void {
  const { region } = emulator;
  const resource = operation === 'CreateKey' ? `arn:${partitionOf(region)}:kms:${region}:${caller.account}:key/*` : '*';
  const context = new Map([...connection, ...more]);
  authorize({ caller, action: `kms:${operation}`, resource, context }, { policy: undefined });
}

/** Returns what conditions see of a key. */
export function contextOfKey(key: Pick<Key, 'spec' | 'origin' | 'multiRegion'>): RequestContext {
  return new Map([
    ['kms:keyspec', [key.spec]],
    ['kms:keyusage', ['ENCRYPT_DECRYPT']],
    ['kms:keyorigin', [key.origin]],
    ['kms:multiregion', [String(key.multiRegion)]],
  ]);
}

function contextOfEncryption(context: EncryptionContext): RequestContext {
  const pairs = [...context].map(([name, value]): [string, readonly string[]] => [
    `kms:encryptioncontext:${name.toLowerCase()}`,
    [value],
  ]);
  return new Map(context.size === 0 ? [] : [...pairs, ['kms:encryptioncontextkeys', [...context.keys()]]]);
}

/** Refuses a key that cannot be used now. @throws AwsError `DisabledException`, `KMSInvalidStateException`. */
export function needUsable(key: Key): void {
  if (key.state === 'Disabled') throw new AwsError('DisabledException', `${key.arn} is disabled.`);
  if (key.state === 'PendingImport') throw new AwsError('KMSInvalidStateException', `${key.arn} is pending import.`);
}
