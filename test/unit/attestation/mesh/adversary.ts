/**
 * A peer that breaks rules: it makes leaves and proofs field by field and speaks the handshake's messages by hand,
 * while the honest side runs the real code.
 */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect, createSecureContext, type SecureContextOptions, TLSSocket as Socket, type TLSSocket } from 'node:tls';
import { type CborValue, encodeCanonical } from '../../../../attestation/cbor.ts';
import { encodeHello } from '../../../../attestation/mesh/hello.ts';
import { identityToCbor } from '../../../../attestation/mesh/identity.ts';
import { type LeafClaims, leafDigest, readLeaf, sha256 } from '../../../../attestation/mesh/leaf.ts';
import { writeLeafCertificate } from '../../../../attestation/mesh/leaf-certificate.ts';
import type { IdentityCertificate, MeshIdentity, MeshSelf } from '../../../../attestation/mesh/mesh-context.ts';
import {
  type Channel,
  encodeProof,
  type Proof,
  type ProofClaims,
  proofDigest,
} from '../../../../attestation/mesh/proof.ts';
import { exporterValue } from '../../../../attestation/mesh/tls.ts';
import { readMessage, writeMessage } from '../../../../attestation/mesh/wire-messages.ts';
import type { Service } from '../../../../attestation/role.ts';

/** A leaf with its key, as an adversary holds it. */
export interface ForgedLeaf {
  readonly der: Uint8Array;
  readonly spki: Uint8Array;
  readonly privateKey: KeyObject;
  readonly tls: SecureContextOptions;
}

/** What of a leaf an adversary may choose; the rest is as an honest process of `self` would make it. */
export interface ForgeOptions {
  readonly self: MeshSelf;
  readonly claims?: Partial<Pick<LeafClaims, 'network' | 'party' | 'role'>>;
  readonly document?: (fields: { publicKey: Uint8Array; userData: Uint8Array }) => Promise<Uint8Array>;
  readonly identity?: MeshIdentity | undefined;
  readonly identityCertificate?: IdentityCertificate | undefined;
  readonly meshSignature?: Uint8Array;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly payload?: Uint8Array;
  readonly keys?: { publicKey: KeyObject; privateKey: KeyObject };
}

/** Makes a leaf; without options one that is accepted. */
export async function forgeLeaf(options: ForgeOptions): Promise<ForgedLeaf> {
  const { self } = options;
  const identity = 'identity' in options ? options.identity : self.identity;
  const { publicKey, privateKey } = options.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const claims = { network: self.network, party: self.party, role: self.role, ...options.claims };
  const digest = leafDigest({ ...claims, spki });
  const attest = options.document ?? ((fields) => self.attester.attest(fields));
  const document = await attest({ publicKey: spki, userData: digest });
  const certificate = 'identityCertificate' in options ? options.identityCertificate : identity?.certificate;
  const parts: CborValue[] = ['arca-mesh-leaf-1', claims.network, claims.party, claims.role, document];
  parts.push(certificate ? identityToCbor(certificate) : null);
  parts.push(options.meshSignature ?? identity?.sign(digest) ?? null);
  const nowMs = Date.now();
  const der = writeLeafCertificate(
    {
      spki,
      notBeforeMs: options.notBeforeMs ?? nowMs - 1000,
      notAfterMs: options.notAfterMs ?? nowMs + 3_600_000,
      payload: options.payload ?? encodeCanonical(parts),
    },
    privateKey,
  );
  return { der, spki, privateKey, tls: { cert: toPem(der), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) } };
}

/** Returns a certificate as PEM. */
export const toPem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;

/** The adversary's end after TLS. */
export interface Intruder {
  readonly socket: TLSSocket;
  /** The honest side's leaf. */
  readonly victim: LeafClaims;
  readonly channel: Channel;
}

/** Speaks TLS as client with a leaf, or as server, and reads the honest side's leaf. */
export async function intrude(
  raw: Duplex,
  leaf: ForgedLeaf,
  service: Service,
  { isServer = false, tls = {} }: { isServer?: boolean; tls?: SecureContextOptions } = {},
): Promise<Intruder> {
  const secureContext = createSecureContext({ ca: [], minVersion: 'TLSv1.3', ...leaf.tls, ...tls });
  const common = { secureContext, rejectUnauthorized: false, requestCert: true, ALPNProtocols: ['arca-mesh/1'] };
  const socket = isServer ? new Socket(raw, { isServer, ...common }) : connect({ socket: raw, ...common });
  await new Promise((resolve, reject) => {
    socket.once(isServer ? 'secure' : 'secureConnect', resolve).once('error', reject);
  });
  socket.on('error', () => {});
  const shown = socket.getPeerX509Certificate();
  if (shown === undefined) throw new Error('the honest side always shows its leaf');
  const victim = readLeaf(shown.raw, 32_768);
  const [client, server] = isServer ? [victim.der, leaf.der] : [leaf.der, victim.der];
  const channel = {
    service,
    exporter: exporterValue(socket),
    clientLeafSha256: sha256(client),
    serverLeafSha256: sha256(server),
  };
  return { socket, victim, channel };
}

/** What of a proof an adversary may choose. */
export interface ForgeProofOptions {
  readonly claims?: Partial<ProofClaims>;
  readonly channel?: Partial<Channel>;
  readonly document?: (fields: { publicKey: Uint8Array; userData: Uint8Array }) => Promise<Uint8Array>;
  readonly sign?: (digest: Uint8Array) => Uint8Array;
  readonly hello?: Uint8Array;
}

/** Makes a proof; without options one that is accepted. */
export async function forgeProof(
  self: MeshSelf,
  leaf: ForgedLeaf,
  { channel, victim }: Intruder,
  options: ForgeProofOptions = {},
): Promise<Proof> {
  const claims: ProofClaims = {
    role: self.role,
    service: channel.service,
    network: self.network,
    context: self.context,
    sender: self.party,
    receiver: victim.party,
    incarnation: self.incarnation,
    ...options.claims,
  };
  const hello = options.hello ?? encodeHello(self.hello());
  const digest = proofDigest({ ...channel, ...options.channel }, claims, hello);
  const attest = options.document ?? ((fields) => self.attester.attest(fields));
  const document = await attest({ publicKey: leaf.spki, userData: digest });
  const sign = options.sign ?? ((data) => self.identity?.sign(data) ?? new Uint8Array());
  return { claims, hello, document, meshSignature: sign(digest) };
}

/** Sends a proof and an accepting verdict, whatever the other side thinks. */
export async function sendProof({ socket }: Intruder, proof: Proof | Uint8Array): Promise<void> {
  await writeMessage(socket, 'proof', proof instanceof Uint8Array ? proof : encodeProof(proof));
  await writeMessage(socket, 'verdict', encodeCanonical([]));
}

/** Reads the honest side's next message. */
export const receive = ({ socket }: Intruder): ReturnType<typeof readMessage> =>
  readMessage(socket, 32_768, AbortSignal.timeout(60_000));

/** SHA-384 of a labelled array, as user_data of other kinds of documents is. */
export const labelled = (label: string, ...fields: CborValue[]): Uint8Array =>
  createHash('sha384')
    .update(encodeCanonical([label, ...fields]))
    .digest();
