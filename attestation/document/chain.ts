/**
 * The certificate rules of a document (groups 3 and 5.1): the pinned anchor, never the bundle, is what is
 * trusted. Cheap rules first; signatures are checked by WebCrypto, at once for all certificates.
 */

import { isKmsError } from '../../common/errors.ts';
import { type Certificate, parseCertificate, rawSignature, sameBytes } from '../x509/certificate.ts';
import { OID } from '../x509/oids.ts';
import { type ChainCache, chainHashes } from './chain-cache.ts';
import type { CheckSheet } from './checks.ts';
import type { TrustAnchor } from './types.ts';

/** A chain whose certificates could be read, anchor first, leaf last. */
export type Chain = readonly Certificate[];

const POINT_BYTES = 97;
const UNCOMPRESSED = 0x04;
const SCALAR_BYTES = 48;
/** Identifiers are a stranger's: digits and dots, and no more of them than a line holds. */
const MAX_SHOWN_OID = 64;
const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set([OID.basicConstraints, OID.keyUsage]);
const P384 = { name: 'ECDSA', namedCurve: 'P-384' };
const ECDSA_SHA384 = { name: 'ECDSA', hash: 'SHA-384' };

/**
 * Checks 3.1 to 3.9; returns the chain when every certificate could be read, whatever else failed.
 *
 * @param o.atMs - The moment at which all certificates must be valid, give or take `skewMs`; undefined if the
 *   document's own could not be read: then 3.8 is not reached.
 */
export function readChain(
  o: {
    anchor: TrustAnchor;
    cabundle: readonly Uint8Array[];
    leaf: Uint8Array;
    atMs: number | undefined;
    skewMs: number;
  },
  sheet: CheckSheet,
): Chain | undefined {
  const [root = new Uint8Array(0), ...intermediates] = o.cabundle;
  const anchored = sameBytes(root, o.anchor.certificate);
  sheet.judge('3.1', anchored ? [] : [`it is not the anchor "${o.anchor.name}"`]);
  const ders = [o.anchor.certificate, ...intermediates, o.leaf];
  const unreadable: string[] = [];
  const chain: Certificate[] = [];
  for (const [index, der] of ders.entries()) {
    try {
      const certificate = parseCertificate(der);
      chain.push(certificate);
      if (certificate.version !== 3) unreadable.push(`${named(index, ders)} is version ${certificate.version}`);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      unreadable.push(`${named(index, ders)}: ${error.message}`);
    }
  }
  sheet.judge('3.2', unreadable, `${ders.length} certificates`);
  if (chain.length !== ders.length) return undefined;
  sheet.judge(
    '3.3',
    chain.flatMap((certificate, index) => algorithmFaults(certificate).map(at(index, chain))),
  );
  sheet.judge(
    '3.4',
    chain.flatMap((certificate, index) => nameFaults(chain[index - 1], certificate).map(at(index, chain))),
  );
  const authorities = chain.slice(0, -1);
  const below = (index: number): number => authorities.length - 1 - index;
  sheet.judge(
    '3.5',
    authorities.flatMap((ca, index) => authorityFaults(ca, below(index)).map(at(index, chain))),
  );
  sheet.judge('3.6', leafFaults(chain.at(-1)));
  sheet.judge(
    '3.7',
    chain.flatMap((certificate, index) => extensionFaults(certificate).map(at(index, chain))),
  );
  const { atMs, skewMs } = o;
  if (atMs === undefined) sheet.note('3.8', 'the document has no readable time');
  else {
    const outside = chain.flatMap((ca, index) => validityFaults(ca, { atMs, skewMs }).map(at(index, chain)));
    sheet.judge('3.8', outside, new Date(atMs).toISOString());
  }
  sheet.judge('3.9', repeated(ders));
  return chain;
}

/** Names a certificate by its place: the one thing of it that is not a stranger's text. */
function named(index: number, chain: readonly unknown[]): string {
  return `certificate ${index + 1} of ${chain.length}`;
}

function at(index: number, chain: readonly unknown[]): (fault: string) => string {
  return (fault) => `${named(index, chain)} ${fault}`;
}

function algorithmFaults({ curveOid, publicKey, signatureOid }: Certificate): string[] {
  const isPoint = publicKey.length === POINT_BYTES && publicKey[0] === UNCOMPRESSED;
  return [
    ...(curveOid === OID.p384 && isPoint ? [] : ['has no P-384 key']),
    ...(signatureOid === OID.ecdsaWithSha384 ? [] : ['is not signed with ecdsa-with-SHA384']),
  ];
}

function nameFaults(parent: Certificate | undefined, certificate: Certificate): string[] {
  if (parent === undefined || sameBytes(parent.subject, certificate.issuer)) return [];
  return ['names another issuer'];
}

/** RFC 5280 §4.2.1.9: pathLen counts the authorities between a certificate and the leaf. */
function authorityFaults({ constraints, uses }: Certificate, below: number): string[] {
  const { ca = false, pathLen } = constraints ?? {};
  return [
    ...(ca ? [] : ['is no authority']),
    ...(pathLen !== undefined && below > pathLen ? [`allows ${pathLen} authorities below it, there are ${below}`] : []),
    ...(uses?.has('keyCertSign') === true ? [] : ['may not sign certificates']),
  ];
}

function leafFaults(leaf: Certificate | undefined): string[] {
  return [
    ...(leaf?.constraints?.ca === true ? ['the leaf is an authority'] : []),
    ...(leaf?.constraints?.pathLen === undefined ? [] : ['the leaf has a path length']),
    ...(leaf?.uses?.has('digitalSignature') === true ? [] : ['the leaf may not sign documents']),
    ...(leaf?.uses?.has('keyCertSign') === true ? ['the leaf may sign certificates'] : []),
  ];
}

function extensionFaults({ extensions }: Certificate): string[] {
  const unknown = [...extensions].filter(([oid, { critical }]) => critical && !KNOWN_EXTENSIONS.has(oid));
  return unknown.map(([oid]) => `has the unknown critical extension ${oid.slice(0, MAX_SHOWN_OID)}`);
}

function validityFaults(certificate: Certificate, o: { atMs: number; skewMs: number }): string[] {
  const { notBeforeMs, notAfterMs } = certificate;
  if (notAfterMs < notBeforeMs) return ['ends before it begins'];
  if (o.atMs + o.skewMs < notBeforeMs) return [`begins at ${new Date(notBeforeMs).toISOString()}`];
  if (o.atMs - o.skewMs > notAfterMs) return [`ended at ${new Date(notAfterMs).toISOString()}`];
  return [];
}

/** RFC 5280 §6.1: a certificate must not stand in a path more than once. */
function repeated(ders: readonly Uint8Array[]): string[] {
  return ders.flatMap((der, index) => {
    const first = ders.findIndex((other) => sameBytes(other, der));
    return first === index ? [] : [`${named(index, ders)} is certificate ${first + 1} again`];
  });
}

/**
 * Checks 5.1: every certificate but the anchor against the key of the one before.
 *
 * @param cache - Signatures that it knows are not verified again.
 * @returns What adds the chain to the cache: to be called once the document itself has verified.
 */
export async function verifyChain(
  chain: Chain,
  nowMs: number,
  cache: ChainCache | undefined,
  sheet: CheckSheet,
): Promise<() => void> {
  const hashes = cache === undefined ? [] : chainHashes(chain.map(({ der }) => der));
  const known = cache?.known(hashes, nowMs) ?? 0;
  const verdicts = await Promise.all(
    chain.map(async (certificate, index) => {
      const parent = chain[index - 1];
      if (parent === undefined || index < known || (await isSigned(certificate, parent))) return [];
      return [`${named(index, chain)} is not signed by the one before`];
    }),
  );
  sheet.judge('5.1', verdicts.flat());
  const endsMs = chain.map(({ notAfterMs }) => notAfterMs);
  return () => cache?.add(hashes, endsMs);
}

async function isSigned(certificate: Certificate, parent: Certificate): Promise<boolean> {
  try {
    const signature = rawSignature(certificate.signature, SCALAR_BYTES);
    return await verifyEs384(parent, signature, new Uint8Array(certificate.tbs));
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return false;
  }
}

/**
 * Returns whether a raw P-384 signature over SHA-384 was made with a certificate's key; false as well for a key
 * that is no point of the curve.
 */
export async function verifyEs384(
  signer: Certificate,
  signature: Uint8Array<ArrayBuffer>,
  signed: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  if (algorithmFaults(signer).length > 0) return false;
  const { subtle } = globalThis.crypto;
  try {
    const key = await subtle.importKey('raw', new Uint8Array(signer.publicKey), P384, false, ['verify']);
    return await subtle.verify(ECDSA_SHA384, key, signature, signed);
  } catch {
    // WebCrypto's only failure here is a key that is no point; its error classes differ between engines.
    return false;
  }
}
