/**
 * An attester of a test's own: a software security module in this very process, with a developer root that the test
 * may share between several attesters.
 */
import { createHash } from 'node:crypto';
import type { Nsm, NsmTransport } from '../../attestation/attester/attester.ts';
import { openNsm } from '../../attestation/attester/nsm.ts';
import { type DeveloperRootKey, makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import { extendedPcr, zeroPcr } from '../../attestation/developer/registers.ts';
import type { DocumentForm } from '../../attestation/developer/sign-document.ts';
import { createSoftwareNsm, type SoftwareNsm } from '../../attestation/developer/software-nsm.ts';
import type { Platform, TrustAnchor } from '../../attestation/document/types.ts';
import type { Role } from '../../attestation/role.ts';
import { type Clock, systemClock } from '../../common/clock.ts';

/** What of a test's attester varies. */
export interface TestAttesterOptions {
  readonly role: Role;
  /** The same for engine and core of one party; `i-0123456789abcdef0` if absent. */
  readonly instanceId?: string;
  /** Distinguishes enclaves of one instance; `0123456789abcdef` if absent. */
  readonly enclaveId?: string;
  /** Put over the measurement that {@link testPcrs} gives. */
  readonly pcrs?: ReadonlyMap<number, Uint8Array>;
  /** A root of its own if absent. */
  readonly root?: DeveloperRootKey;
  readonly leafLifeMs?: number;
  readonly clock?: Clock;
  readonly form?: DocumentForm;
  /** Extended into register 16 of an engine, after which all registers are locked: the digest of a charter. */
  readonly charterDigest?: Uint8Array;
}

/** An attester that a test started. */
export interface TestAttester {
  readonly nsm: Nsm;
  readonly device: SoftwareNsm;
  readonly root: DeveloperRootKey;
  readonly anchor: TrustAnchor;
  readonly platform: Platform;
  readonly moduleId: string;
  readonly instanceId: string;
  /** The measurement: what a release set would list. Zero registers and register 4 of an engine are left out. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** Returns the documents' shape of a role. */
export function platformOf(role: Role): Platform {
  return role === 'engine' ? 'enclave' : 'nitro-tpm';
}

/** Returns the measurement of a role: registers 0, 1, 2 of an engine; 4, 7, 11, 12 of core and connector. */
export function testPcrs(role: Role, release = 'test'): ReadonlyMap<number, Uint8Array> {
  const indexes = role === 'engine' ? [0, 1, 2] : [4, 7, 11, 12];
  const value = (index: number) =>
    new Uint8Array(createHash('sha384').update(`${release} ${role} register ${index}`).digest());
  return new Map(indexes.map((index) => [index, value(index)]));
}

/** Returns a transport that hands requests to a module in this process. */
export function directTransport(device: SoftwareNsm): NsmTransport {
  return { request: (cbor) => device.handle(cbor), close: () => {} };
}

/** Starts an attester; nothing has to be stopped. */
export async function startTestAttester(options: TestAttesterOptions): Promise<TestAttester> {
  const { role, instanceId = 'i-0123456789abcdef0', clock = systemClock, leafLifeMs, form } = options;
  const root = options.root ?? makeDeveloperRoot({ nowMs: clock.nowMs() });
  const platform = platformOf(role);
  const suffix = role === 'engine' ? `enc${options.enclaveId ?? '0123456789abcdef'}` : 'tpm0000000000000000';
  const moduleId = `${instanceId}-${suffix}`;
  const pcrs = new Map([...testPcrs(role), ...(options.pcrs ?? [])]);
  const parent = extendedPcr(zeroPcr(), new TextEncoder().encode(instanceId));
  const device = createSoftwareNsm({
    root,
    platform,
    moduleId,
    pcrs: role === 'engine' ? new Map([[4, parent], ...pcrs]) : pcrs,
    clock,
    ...(leafLifeMs === undefined ? {} : { leafLifeMs }),
    ...(form === undefined ? {} : { form }),
  });
  const nsm = openNsm(directTransport(device), 'developer');
  if (options.charterDigest !== undefined) {
    await nsm.extendPcr(16, options.charterDigest);
    await nsm.lockPcrs(32);
  }
  const anchor = { name: 'test root', certificate: root.certificate };
  return { nsm, device, root, anchor, platform, moduleId, instanceId, pcrs };
}
