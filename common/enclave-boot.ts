/**
 * What an enclave and its parent say to each other before anything is attested: vsock ports, and the boot document that
 * the parent hands over at every start. Format: docs/formats/boot-document.md.
 *
 * Nothing here is secret, and nothing here is believed: the charter goes into PCR16, record and release set carry their
 * signatures, and of the configuration the engine takes only what a parent may choose.
 */
import { concatBytes, equalBytes } from './bytes.ts';
import { type BootImport, readBootImport } from './enclave-boot-import.ts';
import { KmsError } from './errors.ts';

/** Vsock ports on the parent, dialled from inside of the enclave. */
export const PARENT_PORT = {
  /** The engine's, init's and Node's own lines, one stream. */
  logs: 7000,
  /** The boot document, as often as it is asked for. */
  boot: 7001,
  /** `CONNECT host:port` by name. */
  egress: 7002,
  /** A software security module; only test images dial it. */
  testNsm: 7003,
  /** The byte 0xB7 and its echo: nitro-cli's own, so that it knows the enclave is up. */
  heartbeat: 9000,
} as const;

/** Vsock ports in the enclave, dialled by the parent. */
export const ENCLAVE_PORT = {
  /** The engine for the Core of its instance. */
  core: 7100,
  /** The engine for the engines of the other parties. */
  mesh: 7101,
} as const;

/** The parent's context id, unless a boot parameter says otherwise. */
export const PARENT_CID = 3;

/** Most bytes of a boot document, its length not counted. */
export const BOOT_DOCUMENT_MAX_BYTES = 1024 * 1024;

/** What the parent hands over. */
export interface BootDocument {
  /** The node's configuration, TOML. */
  readonly node: string;
  /** Charter of the party, its bytes as signed. */
  readonly charter: Uint8Array;
  /** Governed record with its signatures; absent if the parent has none. */
  readonly record?: Uint8Array | undefined;
  /** Release set with its signatures; absent if the parent has none. */
  readonly releases?: Uint8Array | undefined;
  /** Only a test image takes it; the production image refuses a document that has it. */
  readonly developer?: BootDeveloper | undefined;
  /** The enclave does this and ends, in place of serving. */
  readonly import?: BootImport | undefined;
}

/** What a test image is told beyond a {@link BootDocument}. */
export interface BootDeveloper {
  /** Certificate of the developer root, DER. */
  readonly root: Uint8Array;
  /** Authorities of the emulators of AWS, PEM; none if empty. */
  readonly authorities: string;
}

/**
 * Returns a boot document as it goes over vsock: `u32be length | canonical JSON`.
 *
 * @throws KmsError `REQUEST_INVALID` if it is longer than {@link BOOT_DOCUMENT_MAX_BYTES}.
 */
export function encodeBootDocument(document: BootDocument): Uint8Array<ArrayBuffer> {
  const json = encodeJson(document);
  if (json.byteLength > BOOT_DOCUMENT_MAX_BYTES) throw tooLong(json.byteLength);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, json.byteLength);
  return concatBytes(length, json);
}

/**
 * Returns how many bytes follow the four of a length.
 *
 * @throws KmsError `REQUEST_INVALID` if they are too many, or none; nothing of that size is ever allocated.
 */
export function readBootLength(header: Uint8Array): number {
  const sizeBytes = new DataView(header.buffer, header.byteOffset, 4).getUint32(0);
  if (sizeBytes === 0) throw invalid('it is empty');
  if (sizeBytes > BOOT_DOCUMENT_MAX_BYTES) throw tooLong(sizeBytes);
  return sizeBytes;
}

/**
 * Reads a boot document without its length. Only the bytes that {@link encodeBootDocument} would write are taken, so
 * repeated keys, unknown ones and second spellings are refused.
 *
 * @throws KmsError `REQUEST_INVALID` naming the field at fault.
 */
export function decodeBootDocument(json: Uint8Array): BootDocument {
  if (json.byteLength > BOOT_DOCUMENT_MAX_BYTES) throw tooLong(json.byteLength);
  const table = readTable(parse(json), 'it', FIELDS);
  if (table.get('format') !== 1) throw invalid('format must be 1');
  const [developer, job] = [table.get('developer'), table.get('import')];
  const document: BootDocument = {
    node: text(table, 'node'),
    charter: bytes(table, 'charter'),
    ...(table.has('record') && { record: bytes(table, 'record') }),
    ...(table.has('releases') && { releases: bytes(table, 'releases') }),
    ...(developer !== undefined && { developer: readDeveloper(developer) }),
    ...(job !== undefined && { import: readBootImport(job) }),
  };
  if (!equalBytes(encodeJson(document), json)) throw invalid('it is not in its canonical form');
  return document;
}

const FIELDS = ['format', 'node', 'charter', 'record', 'releases', 'developer', 'import'] as const;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function encodeJson({ node, charter, record, releases, developer, import: job }: BootDocument): Uint8Array {
  // Keys in this order; JSON leaves out what is undefined.
  const table = {
    format: 1,
    node,
    charter: base64(charter),
    record: record && base64(record),
    releases: releases && base64(releases),
    developer: developer && { root: base64(developer.root), authorities: developer.authorities },
    import: job,
  };
  return new TextEncoder().encode(JSON.stringify(table));
}

function readDeveloper(value: unknown): BootDeveloper {
  const table = readTable(value, 'developer', ['root', 'authorities']);
  return { root: bytes(table, 'root'), authorities: text(table, 'authorities') };
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch {
    // The parser's message quotes what it read.
    throw invalid('it is not JSON');
  }
}

function readTable(value: unknown, name: string, known: readonly string[]): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${name} must be an object`);
  const table = new Map<string, unknown>(Object.entries(value));
  const unknown = [...table.keys()].filter((key) => !known.includes(key)).length;
  if (unknown > 0) throw invalid(`${name} has ${unknown} unknown fields; known are ${known.join(', ')}`);
  return table;
}

function text(table: ReadonlyMap<string, unknown>, name: string): string {
  const value = table.get(name);
  if (typeof value !== 'string' || !value.isWellFormed()) throw invalid(`${name} must be a text`);
  return value;
}

function bytes(table: ReadonlyMap<string, unknown>, name: string): Uint8Array {
  const value = text(table, name);
  if (value === '' || !BASE64.test(value)) throw invalid(`${name} must be base64 of at least one byte`);
  return Uint8Array.from(Buffer.from(value, 'base64'));
}

function base64(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
}

function tooLong(sizeBytes: number): KmsError {
  const most = `at most ${BOOT_DOCUMENT_MAX_BYTES} bytes`;
  return new KmsError('REQUEST_INVALID', `boot document: it has ${sizeBytes} bytes; needs ${most}`, { sizeBytes });
}

function invalid(why: string): KmsError {
  return new KmsError('REQUEST_INVALID', `boot document: ${why}`);
}
