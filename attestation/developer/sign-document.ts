/**
 * Signs attestation documents with a developer chain: COSE_Sign1 of the hypervisor's shape, every field variant
 * selectable. What a document says is the caller's; the software NSM is the only one in developer mode that may
 * choose it. The leaf's private key passes here.
 */
import { type KeyObject, sign } from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import { type CborKey, type CborValue, encodeCanonical } from '../cbor.ts';
import type { Platform } from '../document/types.ts';
import type { SigningChain } from './chain.ts';

/** How a document differs from the form that real devices write today. */
export interface DocumentForm {
  /** Length of the payload's map: indefinite since 2025-12, definite before. */
  readonly map?: 'indefinite' | 'definite';
  /** How an optional field that is not set is written. */
  readonly unset?: 'null' | 'absent' | 'empty';
  /** COSE's tag 18 before the array; real devices write none. */
  readonly tagged?: boolean;
  /** Encodes what stands under `pcrs`; for maps in indefinite form and the like. */
  readonly encodePcrs?: (pcrs: ReadonlyMap<number, Uint8Array>) => Uint8Array;
  /** Last change of the payload's entries (name and encoded value, in order), for documents that must be refused. */
  readonly entries?: (entries: readonly PayloadEntry[]) => readonly PayloadEntry[];
  /** The encoded payload, changed before it is signed. */
  readonly payload?: (payload: Uint8Array) => Uint8Array;
  /** The protected header's bytes; {1: -35} unless set. */
  readonly protectedHeader?: Uint8Array;
  /** The unprotected header; an empty map unless set. */
  readonly unprotectedHeader?: ReadonlyMap<CborKey, CborValue>;
  /** The signature, changed after signing: cut, DER, another key's. */
  readonly signature?: (signature: Uint8Array, signed: Uint8Array, key: KeyObject) => Uint8Array;
  /** The finished document, changed. */
  readonly document?: (document: Uint8Array) => Uint8Array;
}

/** One entry of the payload's map: the key and the encoded value. */
export type PayloadEntry = readonly [name: CborValue, encoded: Uint8Array];

/** {1: -35}, as every real document has it: ECDSA with SHA-384. */
const PROTECTED_ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const EMPTY = new Uint8Array(0);
const MAP_HEAD = 0xa0;
const INDEFINITE_MAP = Uint8Array.of(0xbf);
const BREAK = Uint8Array.of(0xff);
const ARRAY_OF_FOUR = Uint8Array.of(0x84);
const COSE_SIGN1_TAG = Uint8Array.of(0xd2);

/**
 * Returns a signed attestation document.
 *
 * @param o.chain - Its leaf key signs; certificates are carried as they are.
 * @param o.pcrs - Index to 48 bytes; written under `pcrs` or `nitrotpm_pcrs`, as the platform says.
 * @param o.form - A form other than today's, or a wrong one for tests.
 */
export function signDocument(o: {
  chain: SigningChain;
  platform: Platform;
  moduleId: string;
  timestampMs: number;
  pcrs: ReadonlyMap<number, Uint8Array>;
  publicKey?: Uint8Array | undefined;
  userData?: Uint8Array | undefined;
  nonce?: Uint8Array | undefined;
  form?: DocumentForm | undefined;
}): Uint8Array {
  const form = o.form ?? {};
  const entries: PayloadEntry[] = [
    ['module_id', encodeCanonical(o.moduleId)],
    ['digest', encodeCanonical('SHA384')],
    ['timestamp', encodeCanonical(Math.floor(o.timestampMs))],
    [o.platform === 'enclave' ? 'pcrs' : 'nitrotpm_pcrs', (form.encodePcrs ?? encodeCanonical)(o.pcrs)],
    ['certificate', encodeCanonical(o.chain.leaf)],
    ['cabundle', encodeCanonical(o.chain.cabundle)],
    ...optionalEntry('public_key', o.publicKey, form),
    ...optionalEntry('user_data', o.userData, form),
    ...optionalEntry('nonce', o.nonce, form),
  ];
  const plain = encodePayload(form.entries?.(entries) ?? entries, form.map ?? 'indefinite');
  return signPayload(o.chain.leafKey, form.payload?.(plain) ?? plain, form);
}

/** Returns the COSE_Sign1 of any payload. */
export function signPayload(key: KeyObject, payload: Uint8Array, form: DocumentForm = {}): Uint8Array {
  const protectedHeader = form.protectedHeader ?? PROTECTED_ES384;
  const signed = encodeCanonical(['Signature1', protectedHeader, EMPTY, payload]);
  const signature = new Uint8Array(sign('sha384', signed, { key, dsaEncoding: 'ieee-p1363' }));
  const document = concatBytes(
    ...(form.tagged === true ? [COSE_SIGN1_TAG] : []),
    ARRAY_OF_FOUR,
    encodeCanonical(protectedHeader),
    encodeCanonical(form.unprotectedHeader ?? new Map()),
    encodeCanonical(payload),
    encodeCanonical(form.signature?.(signature, signed, key) ?? signature),
  );
  return form.document?.(document) ?? document;
}

function optionalEntry(name: string, value: Uint8Array | undefined, form: DocumentForm): PayloadEntry[] {
  if (value !== undefined) return [[name, encodeCanonical(value)]];
  if (form.unset === 'absent') return [];
  return [[name, encodeCanonical(form.unset === 'empty' ? EMPTY : null)]];
}

/** Entries stay in the order given: real devices do not sort them either. */
function encodePayload(entries: readonly PayloadEntry[], form: 'indefinite' | 'definite'): Uint8Array {
  const pairs = entries.flatMap(([name, encoded]) => [encodeCanonical(name), encoded]);
  if (form === 'indefinite') return concatBytes(INDEFINITE_MAP, ...pairs, BREAK);
  return concatBytes(Uint8Array.of(MAP_HEAD + entries.length), ...pairs);
}
