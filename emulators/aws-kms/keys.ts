/**
 * The keys of one emulated account and region, in memory and, if asked for, in one file. Emulated key material lies in
 * that file in clear: it is for developers and tests.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Clock } from '../../common/clock.ts';
import { systemErrorCode } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { AwsError, keyNotFound } from './aws-error.ts';
import type { Grant } from './grants.ts';
import { type PolicyDocument, readPolicy } from './policy-document.ts';
import { grantFromJson, grantToJson, readState, type StoredKey } from './state-file.ts';

/** Kinds of keys that are emulated. */
export const KEY_SPECS = ['SYMMETRIC_DEFAULT', 'RSA_2048', 'RSA_3072', 'RSA_4096'] as const;

/** A word out of {@link KEY_SPECS}. */
export type KeySpec = (typeof KEY_SPECS)[number];

/** Where key material comes from. */
export const KEY_ORIGINS = ['AWS_KMS', 'EXTERNAL'] as const;

/** One key. */
export interface Key {
  readonly id: string;
  readonly arn: string;
  readonly spec: KeySpec;
  readonly origin: (typeof KEY_ORIGINS)[number];
  readonly multiRegion: boolean;
  readonly description: string;
  readonly createdAtMs: number;
  state: 'Enabled' | 'Disabled' | 'PendingImport';
  policy: PolicyDocument;
  grants: readonly Grant[];
  /** 32 bytes of a symmetric key, absent while its import is pending. */
  readonly symmetric: Uint8Array | undefined;
  readonly rsa: KeyObject | undefined;
}

/** Settings of {@link Keys}. */
export interface KeysOptions {
  readonly region: string;
  readonly account: string;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Kept in this file; in memory alone if absent. */
  readonly statePath?: string | undefined;
}

const RSA_BITS = { RSA_2048: 2048, RSA_3072: 3072, RSA_4096: 4096 } as const;
const KEY_ID = /^(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** All keys of an account in a region. */
export class Keys {
  readonly #options: KeysOptions;
  readonly #keys = new Map<string, Key>();

  /** Reads the file if there is one. @throws Error if it is damaged. */
  constructor(options: KeysOptions) {
    this.#options = options;
    if (options.statePath !== undefined) this.#load(options.statePath);
  }

  /** Makes a key. */
  create(
    fields: Pick<Key, 'spec' | 'origin' | 'multiRegion' | 'description'>,
    policyOf: (arn: string) => PolicyDocument,
  ): Key {
    const { region, account, clock, random } = this.#options;
    const hex = Buffer.from(random(16)).toString('hex');
    const id = fields.multiRegion ? `mrk-${hex}` : hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const arn = `arn:${partitionOf(region)}:kms:${region}:${account}:key/${id}`;
    const isPending = fields.origin === 'EXTERNAL';
    const key: Key = {
      ...fields,
      id,
      arn,
      createdAtMs: clock.nowMs(),
      state: isPending ? 'PendingImport' : 'Enabled',
      policy: policyOf(arn),
      grants: [],
      symmetric: fields.spec === 'SYMMETRIC_DEFAULT' && !isPending ? random(32) : undefined,
      rsa:
        fields.spec === 'SYMMETRIC_DEFAULT' || isPending
          ? undefined
          : generateKeyPairSync('rsa', { modulusLength: RSA_BITS[fields.spec] }).privateKey,
    };
    this.#keys.set(id, key);
    this.save();
    return key;
  }

  /**
   * Returns the key that an id or an ARN names.
   *
   * @throws AwsError `NotFoundException`, `InvalidArnException`.
   */
  find(keyId: string): Key {
    const { region, account } = this.#options;
    if (/^(?:alias\/|arn:[^:]*:kms:[^:]*:[^:]*:alias\/)/.test(keyId)) {
      const arn = keyId.startsWith('arn:') ? keyId : `arn:${partitionOf(region)}:kms:${region}:${account}:${keyId}`;
      throw new AwsError('NotFoundException', `Alias ${arn} is not found.`);
    }
    const parts = keyId.startsWith('arn:') ? keyId.split(':') : undefined;
    if (parts !== undefined && (parts.length !== 6 || parts[2] !== 'kms' || parts[5]?.startsWith('key/') !== true)) {
      throw new AwsError('InvalidArnException', `Invalid arn ${keyId.slice(0, 256)}`);
    }
    if (parts !== undefined && parts[3] !== region) throw new AwsError('NotFoundException', `Invalid arn ${parts[3]}`);
    const id = parts === undefined ? keyId : (parts[5]?.slice('key/'.length) ?? '');
    if (!KEY_ID.test(id)) throw new AwsError('NotFoundException', `Invalid keyId '${keyId.slice(0, 256)}'`);
    const found = this.#keys.get(id);
    const arn = `arn:${partitionOf(region)}:kms:${region}:${account}:key/${id}`;
    if (found === undefined || (parts !== undefined && keyId !== found.arn)) throw keyNotFound(parts ? keyId : arn);
    return found;
  }

  /** Returns the key under an id that stood in a ciphertext; undefined if there is none. */
  byId(id: string): Key | undefined {
    return this.#keys.get(id);
  }

  /** Writes the file, whole or not at all; does nothing without one. */
  save(): void {
    const { statePath } = this.#options;
    if (statePath === undefined) return;
    const text = `${JSON.stringify({ version: 1, keys: [...this.#keys.values()].map(stored) }, undefined, 2)}\n`;
    const draft = `${statePath}.new`;
    const file = openSync(draft, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, statePath);
  }

  #load(path: string): void {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return;
      throw error;
    }
    const { region, account } = this.#options;
    for (const { policy, grants, symmetric, rsa, ...key } of readState(text, path)) {
      if (!key.arn.includes(`:${region}:${account}:`)) {
        throw new RangeError(`${path} holds keys of another account or region: ${key.arn}`);
      }
      this.#keys.set(key.id, {
        ...key,
        policy: readPolicy(policy, 'key'),
        grants: grants.map(grantFromJson),
        symmetric: symmetric === undefined ? undefined : new Uint8Array(Buffer.from(symmetric, 'base64')),
        rsa: rsa === undefined ? undefined : createPrivateKey(rsa),
      });
    }
  }
}

function stored({ policy, grants, symmetric, rsa, ...key }: Key): StoredKey {
  return {
    ...key,
    policy: policy.text,
    grants: grants.map(grantToJson),
    ...(symmetric === undefined ? {} : { symmetric: Buffer.from(symmetric).toString('base64') }),
    ...(rsa === undefined ? {} : { rsa: rsa.export({ type: 'pkcs8', format: 'pem' }).toString() }),
  };
}

/** Returns the partition that a region belongs to. */
export function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}
