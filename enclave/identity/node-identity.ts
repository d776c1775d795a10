/**
 * Who this node is: its signing key, generated once and kept in the vault, and the CA certificate made with it.
 *
 * The key is secret: its scalar passes through here only on the way into and out of the vault, in buffers of its own
 * that are wiped. Spec: kms-service.md sections 4.1, 4.7, 6.1 and 8.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type * as Native from '../../native/engine/index.ts';
import { buildCaCertificate, certificatePem } from '../../wire/certificate.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodePrivateSigKey, encodePrivateSigKey } from '../../wire/signing-keys.ts';
import type { PrivateVault } from '../vault/private-vault.ts';

/** The node's key and certificate. */
export interface NodeIdentity {
  readonly key: Native.NodeKey;
  /** Self-issued CA certificate, PEM. The same at every start. */
  readonly certificate: string;
}

/** What identities are made of. */
export interface IdentityDeps {
  readonly native: Pick<typeof Native, 'NodeKey' | 'sha256'>;
  readonly vault: PrivateVault;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** This node's number; the certificate names it. */
  readonly party: number;
  /** Where the vault could not be opened without it; whoever opened the vault has checked it. */
  readonly key?: Native.NodeKey | undefined;
}

const VALID_YEARS = 20;
const SERIAL_BYTES = 16;
/** Clocks of others may be behind. */
const BACKDATED_MS = 3_600_000;

/**
 * Loads the node's identity, or generates it if the vault is new.
 *
 * @throws KmsError `STATE_INVALID` if a stored part is damaged, or if a vault that was in use has lost its key: another
 *   identity there would disown all that the first one signed.
 */
export async function loadOrGenerateIdentity(deps: IdentityDeps): Promise<NodeIdentity> {
  const { vault } = deps;
  if (deps.key) return { key: deps.key, certificate: await loadOrMakeCertificate(deps, deps.key) };
  const path = ['SigningKey', SIGNING_KEY_ID] as const;
  const known = await vault.has(path);
  if (!known && (await vault.inUse())) {
    const message = `the private vault holds objects but no ${path.join('/')}: restore it from a backup`;
    throw new KmsError('STATE_INVALID', message);
  }
  const key = known ? await loadKey(deps) : await generateKey(deps);
  try {
    return { key, certificate: await loadOrMakeCertificate(deps, key) };
  } catch (error) {
    key.dispose();
    throw error;
  }
}

async function loadKey({ native, vault }: IdentityDeps): Promise<Native.NodeKey> {
  return await vault.read(['SigningKey', SIGNING_KEY_ID], (content) =>
    native.NodeKey.fromBytes(decodePrivateSigKey(content)),
  );
}

async function generateKey({ native, vault }: IdentityDeps): Promise<Native.NodeKey> {
  const key = native.NodeKey.generate();
  const secret = key.secretBytes();
  const content = encodePrivateSigKey(secret);
  try {
    await vault.put(['SigningKey', SIGNING_KEY_ID], content);
    return key;
  } catch (error) {
    key.dispose();
    throw error;
  } finally {
    secret.fill(0);
    content.fill(0);
  }
}

/** A certificate holds the time of its making, so it is kept, and remade only if a crash came before it was. */
async function loadOrMakeCertificate(deps: IdentityDeps, key: Native.NodeKey): Promise<string> {
  const path = ['CACert', SIGNING_KEY_ID] as const;
  if (await deps.vault.has(path)) {
    return await deps.vault.read(path, (content) => new TextDecoder('utf-8', { fatal: true }).decode(content));
  }
  const certificate = makeCertificate(deps, key);
  await deps.vault.put(path, new TextEncoder().encode(certificate));
  return certificate;
}

function makeCertificate({ native, clock, random, party }: IdentityDeps, key: Native.NodeKey): string {
  const notBefore = new Date(clock.nowMs() - BACKDATED_MS);
  const notAfter = new Date(notBefore);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + VALID_YEARS);
  const serial = random(SERIAL_BYTES);
  // Positive, without leading zeros, whatever was drawn.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const publicKey = key.publicKeyUncompressed;
  const sign = (toBeSigned: Uint8Array) => key.signDer(native.sha256(toBeSigned));
  const commonName = `arca-party-${party}`;
  return certificatePem(buildCaCertificate({ publicKey, commonName, notBefore, notAfter, serial, sign }));
}
