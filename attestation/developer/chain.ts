/**
 * Certificate chains of developer mode, in the shape of the hypervisor's: root → region → zonal → instance →
 * a leaf of three hours that signs documents; all P-384 with ecdsa-with-SHA384. Every way a chain can be wrong
 * can be asked for, so that the verifier is tested against each.
 *
 * Private keys pass here (developer keys and tests', no production key). Shape: AWS Nitro documents of 2025.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { parseCertificate } from '../x509/certificate.ts';
import {
  assembleCertificate,
  basicConstraints,
  type CertificateDigest,
  type CertificateExtension,
  encodeName,
  encodeTbsCertificate,
  keyUsage,
} from '../x509/encode-certificate.ts';
import { type KeyUsage, OID } from '../x509/oids.ts';

/** A developer root: the trust anchor's certificate (DER) and its key. */
export interface DeveloperRootKey {
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
}

/** The certificates under the root, in order. */
export type ChainMember = 'region' | 'zonal' | 'instance' | 'leaf';

/** How one certificate of a chain differs from a good one. */
export interface MemberVariant {
  /** It ended before `nowMs`, or begins a day after it. */
  readonly validity?: 'expired' | 'not-yet-valid';
  readonly ca?: boolean;
  readonly pathLen?: number | 'absent';
  readonly keyUsage?: readonly KeyUsage[];
  /** Extensions that are left out. */
  readonly without?: readonly ('basicConstraints' | 'keyUsage')[];
  readonly extraExtensions?: readonly CertificateExtension[];
  readonly curve?: 'P-256';
  readonly digest?: CertificateDigest;
  readonly issuerName?: string;
  /** Signed with a key that nobody knows, not with its issuer's. */
  readonly signedByStranger?: boolean;
  readonly version?: 1;
}

/** How a whole chain differs from a good one. */
export interface ChainVariant {
  readonly members?: Readonly<Partial<Record<ChainMember, MemberVariant>>>;
  /** Members that are left out; the next one is signed by the member before. */
  readonly omit?: readonly ChainMember[];
  /** What the document carries in `cabundle`; the leaf is never part of it. */
  readonly bundle?: (cabundle: readonly Uint8Array[]) => readonly Uint8Array[];
}

/** A chain that documents can be signed with. */
export interface SigningChain {
  /** DER, root first, without the leaf. */
  readonly cabundle: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  readonly leafKey: KeyObject;
  /** Validity of the leaf, milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const LEAF_LIFE_MS = 3 * HOUR_MS;
const MAX_COMMON_NAME = 64;
const MEMBERS: readonly ChainMember[] = ['region', 'zonal', 'instance', 'leaf'];
const CA_SHAPE = {
  region: { lifeMs: 20 * DAY_MS, pathLen: 2, uses: ['digitalSignature', 'keyCertSign', 'cRLSign'] },
  zonal: { lifeMs: 6 * DAY_MS, pathLen: 1, uses: ['digitalSignature', 'keyCertSign', 'cRLSign'] },
  instance: { lifeMs: DAY_MS, pathLen: 0, uses: ['keyCertSign'] },
} as const;

/** Makes a self-signed developer root that lives ten years unless told otherwise. */
export function makeDeveloperRoot(o: {
  nowMs: number;
  lifeMs?: number;
  commonName?: string;
  random?: RandomSource;
}): DeveloperRootKey {
  const { privateKey, publicKey } = makeKeys('P-384');
  const name = memberName(o.commonName ?? 'arca.developer-root');
  const certificate = issue({
    issuer: { name, privateKey },
    name,
    publicKey,
    notBeforeMs: o.nowMs,
    notAfterMs: o.nowMs + (o.lifeMs ?? 10 * YEAR_MS),
    digest: 'SHA-384',
    extensions: [basicConstraints(true), keyUsage(['digitalSignature', 'keyCertSign', 'cRLSign'])],
    random: o.random ?? systemRandom,
  });
  return { certificate, privateKey };
}

/**
 * Makes a new chain of four certificates under a developer root; takes a few milliseconds for its four keys.
 *
 * @param o.moduleId - Stands in the leaf's common name, cut to 64 characters with the region.
 * @param o.leafLifeMs - Life of the leaf, three hours unless told otherwise.
 * @param o.random - For serial numbers; keys come from OpenSSL.
 * @param o.variant - Makes a chain that a verifier must refuse; never set in developer mode itself.
 */
export function makeSigningChain(
  root: DeveloperRootKey,
  o: {
    nowMs: number;
    moduleId: string;
    region?: string;
    leafLifeMs?: number;
    variant?: ChainVariant;
    random?: RandomSource;
  },
): SigningChain {
  const suffix = `${o.region ?? 'developer'}.aws`;
  const variant = o.variant ?? {};
  const cabundle = [root.certificate];
  let issuer = { name: parseCertificate(root.certificate).subject, privateKey: root.privateKey };
  let last: { certificate: Uint8Array; notBeforeMs: number; notAfterMs: number } | undefined;
  for (const member of MEMBERS) {
    if (variant.omit?.includes(member)) continue;
    const change = variant.members?.[member] ?? {};
    const keys = makeKeys(change.curve ?? 'P-384');
    const label = member === 'leaf' ? o.moduleId : `${member}.${o.moduleId}`;
    const name = memberName(`${label}.${suffix}`.slice(0, MAX_COMMON_NAME));
    const validity = validityOf(o.nowMs, memberLife(member, o.leafLifeMs), change.validity);
    const certificate = issue({
      issuer: {
        name: change.issuerName === undefined ? issuer.name : memberName(change.issuerName),
        privateKey: change.signedByStranger === true ? makeKeys('P-384').privateKey : issuer.privateKey,
      },
      name,
      publicKey: keys.publicKey,
      ...validity,
      digest: change.digest ?? 'SHA-384',
      extensions: extensionsOf(member, change),
      random: o.random ?? systemRandom,
      ...(change.version === undefined ? {} : { version: change.version }),
    });
    if (last !== undefined) cabundle.push(last.certificate);
    last = { certificate, ...validity };
    issuer = { name, privateKey: keys.privateKey };
  }
  if (last === undefined) throw new RangeError('a chain needs a member under its root');
  return {
    cabundle: variant.bundle?.(cabundle) ?? cabundle,
    leaf: last.certificate,
    leafKey: issuer.privateKey,
    notBeforeMs: last.notBeforeMs,
    notAfterMs: last.notAfterMs,
  };
}

/** A name in the shape of the hypervisor's. */
function memberName(commonName: string): Uint8Array {
  return encodeName([
    [OID.commonName, commonName],
    [OID.country, 'US'],
    [OID.organization, 'Arca'],
    [OID.organizationalUnit, 'Developer'],
  ]);
}

function memberLife(member: ChainMember, leafLifeMs: number | undefined): number {
  return member === 'leaf' ? (leafLifeMs ?? LEAF_LIFE_MS) : CA_SHAPE[member].lifeMs;
}

/** Whole seconds, as certificates have them. */
function validityOf(nowMs: number, lifeMs: number, variant: MemberVariant['validity']): Validity {
  const startMs =
    variant === 'expired' ? nowMs - lifeMs - HOUR_MS : variant === 'not-yet-valid' ? nowMs + DAY_MS : nowMs;
  const notBeforeMs = Math.floor(startMs / 1000) * 1000;
  return { notBeforeMs, notAfterMs: notBeforeMs + Math.floor(lifeMs / 1000) * 1000 };
}

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

function extensionsOf(member: ChainMember, change: MemberVariant): CertificateExtension[] {
  const shape = member === 'leaf' ? undefined : CA_SHAPE[member];
  const pathLen = change.pathLen === 'absent' ? undefined : (change.pathLen ?? shape?.pathLen);
  const uses = change.keyUsage ?? shape?.uses ?? ['digitalSignature', 'nonRepudiation'];
  const extensions = [
    ...(change.without?.includes('basicConstraints')
      ? []
      : [basicConstraints(change.ca ?? shape !== undefined, pathLen)]),
    ...(change.without?.includes('keyUsage') ? [] : [keyUsage(uses)]),
  ];
  return [...extensions, ...(change.extraExtensions ?? [])];
}

/** Signs one certificate. */
function issue(o: {
  issuer: { name: Uint8Array; privateKey: KeyObject };
  name: Uint8Array;
  publicKey: KeyObject;
  notBeforeMs: number;
  notAfterMs: number;
  digest: CertificateDigest;
  extensions: readonly CertificateExtension[];
  version?: 1;
  random: RandomSource;
}): Uint8Array {
  const serial = o.random(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive and of full length
  const tbs = encodeTbsCertificate({
    serial,
    issuer: o.issuer.name,
    subject: o.name,
    notBeforeMs: o.notBeforeMs,
    notAfterMs: o.notAfterMs,
    publicKey: o.publicKey.export({ type: 'spki', format: 'der' }),
    digest: o.digest,
    extensions: o.extensions,
    ...(o.version === undefined ? {} : { version: o.version }),
  });
  const hash = o.digest === 'SHA-384' ? 'sha384' : 'sha256';
  return assembleCertificate(tbs, o.digest, sign(hash, tbs, o.issuer.privateKey));
}

function makeKeys(namedCurve: 'P-256' | 'P-384'): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve });
}
