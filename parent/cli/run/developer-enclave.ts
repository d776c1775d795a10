/**
 * What a test image is trusted by: the developer root of the node, and a release set that lists exactly this image and this
 * Core. A production image takes none of it.
 */
import { readFile } from 'node:fs/promises';
import type { DeveloperRootKey } from '../../../attestation/developer/chain.ts';
import { type Clock, systemClock } from '../../../common/clock.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { sectionOf } from '../../../images/eif/format.ts';
import { readSignature } from '../../../images/eif/image-signature.ts';
import { measureImage } from '../../../images/eif/measure-image.ts';
import { readImage } from '../../../images/eif/read-image.ts';
import type { ChildProgram } from '../supervise/child.ts';
import { type DeviceEvent, deviceMakers, measuredRoles, measureFiles } from '../supervise/developer-devices.ts';
import { ensureDeveloperRelease } from '../supervise/developer-release.ts';
import { openDeveloperTrust, trustPaths } from '../supervise/developer-trust.ts';
import { withDevices } from '../supervise/node-programs.ts';
import { enrolFrom } from './developer-enrolment.ts';

/** See the file comment. */
export interface DeveloperEnclave {
  readonly root: DeveloperRootKey;
  /** The instance that enclave and Core are both on. */
  readonly instanceId: string;
  /** The Core with its security module. */
  readonly core: readonly ChildProgram[];
  /** Takes what the engine says: a new node is enrolled by its word. */
  onFacts(facts: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Settings of {@link prepareDeveloperEnclave}. */
export interface DeveloperEnclaveOptions {
  readonly config: NodeConfig;
  /** File of the image that peers are to trust. */
  readonly image: string;
  readonly core: ChildProgram;
  readonly onEvent: (event: DeviceEvent) => void;
  readonly clock?: Clock;
}

/**
 * Makes what is missing and trusts what is there.
 *
 * @throws {@link KmsError} `STATE_INVALID` if the node's files do not belong together, `REQUEST_INVALID` for what is no image.
 */
export async function prepareDeveloperEnclave(options: DeveloperEnclaveOptions): Promise<DeveloperEnclave> {
  const { config, image, core, onEvent, clock = systemClock } = options;
  const paths = trustPaths(config);
  const programs = [core];
  const [trust, measured, engine] = await Promise.all([
    openDeveloperTrust(paths, clock),
    measureFiles(programs, clock),
    measureFile(image),
  ]);
  await ensureDeveloperRelease(paths.releases, trust, new Map([['engine', engine], ...measuredRoles(measured)]), clock);
  const { root, instanceId } = trust;
  const makers = deviceMakers({ root, instanceId, programs, measured, onEvent, clock });
  return {
    root,
    instanceId,
    core: withDevices(programs, makers),
    onFacts: (facts) => enrolFrom(facts, paths.record, trust),
  };
}

async function measureFile(path: string): Promise<ReadonlyMap<number, Uint8Array>> {
  const image = readImage(await readFile(path));
  const section = sectionOf(image, 'signature');
  return measureImage(image, section && readSignature(section).certificate.raw);
}
