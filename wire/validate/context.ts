/** Structural checks of the requests that manage MPC contexts and epochs. */
import { equalBytes, toHex } from '../../common/bytes.ts';
import {
  type DestroyMpcContextRequest,
  type KeyDigest,
  type MpcContext,
  type MpcNode,
  type NewMpcContextRequest,
  type NewMpcEpochRequest,
  type PreviousEpochInfo,
  SigningSchemeType,
} from '../../proto/gen/kms_pb.js';
import { ADDRESS_BYTES, type Keccak256, keccak256 } from '../addresses.ts';
import { type Domain, parseDomain } from '../eip712.ts';
import { DIGEST_BYTES } from '../hash.ts';
import type { RequestId } from '../ids.ts';
import { type PublicDataType, publicDataType } from '../public-data.ts';
import {
  contextIdOrDefault,
  epochIdOrDefault,
  type FheParams,
  invalidField,
  parseParams,
  parseSigningSchemes,
  requiredId,
} from './common.ts';

/** A software version: at least a major number. */
interface SoftwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly tag?: string;
}

/** An MPC context, checked. The nodes stay as sent. */
export interface NewMpcContext {
  readonly contextId: RequestId;
  readonly nodes: readonly MpcNode[];
  readonly threshold: number;
  readonly softwareVersion: SoftwareVersion;
  readonly pcrValues: MpcContext['pcrValues'];
}

/** What a new epoch takes over from an older one. */
interface PreviousEpoch {
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly keys: readonly {
    readonly keyId: RequestId;
    readonly preprocId: RequestId;
    readonly params: FheParams;
    readonly digests: readonly { readonly type: PublicDataType; readonly digest: Uint8Array }[];
  }[];
  readonly crs: readonly { readonly crsId: RequestId; readonly digest: Uint8Array }[];
}

/** A new epoch, checked. */
export interface NewMpcEpoch {
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly previous?: PreviousEpoch & { readonly domain: Domain };
  readonly extraData: Uint8Array;
  readonly signingSchemes: readonly SigningSchemeType[];
}

const VERSION = /^(?:v\.?)?(\d{1,9})(?:\.(\d{1,9})(?:\.(\d{1,9}))?)?(?:[-+]([0-9A-Za-z.+-]{1,128}))?$/;
const PEM = /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/;
const EXPLICIT_PORT = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?(?:\[[^\]]+\]|[^/?#:]+):\d+(?:[/?#]|$)/i;

/** Checks a new context. Throws `REQUEST_INVALID` naming the field. */
export function parseNewMpcContext(message: NewMpcContextRequest): NewMpcContext {
  const context = message.newContext;
  if (context === undefined) throw invalidField('new_context', 'is missing');
  const contextId = requiredId(context.contextId, 'context_id');
  const { mpcNodes: nodes, threshold } = context;
  const n = nodes.length;
  if (n === 0) throw invalidField('mpc_nodes', 'must not be empty');
  if (n === 1 ? threshold !== 0 : threshold < 1 || n !== 3 * threshold + 1) {
    throw invalidField('threshold', 'needs n = 3 * threshold + 1 nodes, or one node and 0', { n, threshold });
  }
  const partyIds = new Set<number>();
  const identities = new Set<string>();
  for (const node of nodes) {
    if (node.partyId < 1 || node.partyId > n || partyIds.has(node.partyId)) {
      throw invalidField('party_id', 'must be 1 to n, each once', { partyId: node.partyId });
    }
    if (identities.has(node.mpcIdentity)) throw invalidField('mpc_identity', 'must be unique');
    partyIds.add(node.partyId);
    identities.add(node.mpcIdentity);
    checkNode(node);
  }
  const softwareVersion = parseSoftwareVersion(context.softwareVersion);
  return { contextId, nodes, threshold, softwareVersion, pcrValues: context.pcrValues };
}

/** Returns the id of the context to destroy. */
export function parseDestroyMpcContext(message: DestroyMpcContextRequest): RequestId {
  return requiredId(message.contextId, 'context_id');
}

/** Checks a new epoch. Throws `REQUEST_INVALID` naming the field. */
export function parseNewMpcEpoch(message: NewMpcEpochRequest, keccak: Keccak256 = keccak256): NewMpcEpoch {
  const epochId = requiredId(message.epochId, 'epoch_id');
  return {
    contextId: contextIdOrDefault(message.contextId),
    epochId,
    ...(message.previousEpoch === undefined
      ? {}
      : { previous: { ...parsePreviousEpoch(message.previousEpoch), domain: parseDomain(message.domain, keccak) } }),
    extraData: message.extraData,
    signingSchemes: parseSigningSchemes(message.signingSchemes),
  };
}

function parsePreviousEpoch(message: PreviousEpochInfo): PreviousEpoch {
  return {
    contextId: contextIdOrDefault(message.contextId),
    epochId: epochIdOrDefault(message.epochId),
    keys: message.keysInfo.map((info) => ({
      keyId: requiredId(info.keyId, 'key_id'),
      preprocId: requiredId(info.preprocId, 'preproc_id'),
      params: parseParams(info.keyParameters, 'key_parameters'),
      digests: info.keyDigests.map(parseKeyDigest),
    })),
    crs: message.crsInfo.map((info) => ({ crsId: requiredId(info.crsId, 'crs_id'), digest: info.crsDigest })),
  };
}

function parseKeyDigest({ keyType, digest }: KeyDigest): { type: PublicDataType; digest: Uint8Array } {
  const type = publicDataType(keyType);
  if (type === undefined) throw invalidField('key_digests.key_type', 'is not a public data type');
  return { type, digest };
}

function checkNode(node: MpcNode): void {
  const facts = { partyId: node.partyId };
  if (!EXPLICIT_PORT.test(node.externalUrl) || !URL.canParse(node.externalUrl)) {
    throw invalidField('external_url', 'must be a URL with host and explicit port', facts);
  }
  if (node.caCert !== undefined && !PEM.test(Buffer.from(node.caCert).toString('latin1'))) {
    throw invalidField('ca_cert', 'must be a PEM certificate', facts);
  }
  if (node.signerAddress !== undefined && node.signerAddress.byteLength !== ADDRESS_BYTES) {
    throw invalidField('signer_address', 'must have 20 bytes', facts);
  }
  if (node.extraSignerAddresses.some((address) => address.byteLength !== ADDRESS_BYTES)) {
    throw invalidField('extra_signer_addresses', 'must have 20 bytes each', facts);
  }
  for (const { scheme, digest } of node.schemeDigests) {
    const wanted = scheme === SigningSchemeType.ECDSA256K1 ? ADDRESS_BYTES : DIGEST_BYTES;
    if (SigningSchemeType[scheme] === undefined || digest.byteLength !== wanted) {
      throw invalidField('scheme_digests', 'holds an unknown scheme or a wrong length', facts);
    }
    if (
      scheme === SigningSchemeType.ECDSA256K1 &&
      node.signerAddress !== undefined &&
      !equalBytes(digest, node.signerAddress)
    ) {
      throw invalidField('scheme_digests', `must agree with signer_address ${toHex(node.signerAddress)}`, facts);
    }
  }
}

function parseSoftwareVersion(text: string): SoftwareVersion {
  const match = VERSION.exec(text);
  if (match === null) throw invalidField('software_version', 'must be a version such as 1, v1.2 or 1.2.3-rc.1');
  const [, major, minor, patch, tag] = match;
  return {
    major: Number(major),
    minor: Number(minor ?? 0),
    patch: Number(patch ?? 0),
    ...(tag === undefined ? {} : { tag }),
  };
}
