/** What the server of test/slow/vault-crash.test.ts writes. */
import type { EpochScopedPath } from '../../enclave/vault/private-vault.ts';
import { parseRequestId } from '../../wire/ids.ts';

const EPOCH = parseRequestId('e1'.repeat(32));

export const OBJECT: EpochScopedPath = ['FheKeyInfo', EPOCH, parseRequestId('c1'.repeat(32))];
export const OTHER: EpochScopedPath = ['FheKeyInfo', EPOCH, parseRequestId('c2'.repeat(32))];
export const FIRST: Uint8Array = Buffer.from('the first content');
export const SECOND: Uint8Array = Buffer.from('the second content');
/** More than one part of an upload. */
export const CHANGED: Uint8Array = Buffer.alloc(3000, 'another content ');
