/**
 * Where a signing key goes that moves into a quorum of `arca dev --aws` before its first start: the quorum made up to the
 * moment at which the engine of that party would make itself a key.
 */
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { deviceMakers } from '../supervise/developer-devices.ts';
import type { ImportPlace } from '../supervise/import-place.ts';
import { tellModuleEvents } from '../supervise/job-device.ts';
import { nodePrograms } from '../supervise/node-programs.ts';
import { partyFolder } from '../supervise/state-folder.ts';
import { takeStateFolder } from '../supervise/take-state-folder.ts';
import {
  configureParty,
  numbersTo,
  prepareTrust,
  requirePartyCount,
  startQuorumAws,
  takePartyFolder,
} from './prepare-quorum.ts';
import { chooseQuorumPorts } from './quorum-ports.ts';
import { instanceIdOf, readMeshPorts } from './quorum-trust.ts';
import type { DeveloperQuorumOptions } from './running-quorum.ts';

/** Nothing listens, and each start writes the configuration anew. */
const UNUSED: Omit<DeveloperQuorumOptions, 'dir' | 'parties'> = {
  params: 'default',
  reset: false,
  clientPort: 0,
  meshPort: 0,
  opsPort: 0,
  publicPort: 0,
  anyPorts: true,
  logLevel: 'info',
  treatV0ExtraDataAsEmpty: false,
  aws: true,
};

/**
 * Makes the quorum, or takes one that was made so and never started. `held` stops what runs.
 *
 * @throws {@link KmsError} with exit code 2 for numbers that do not fit; `STATE_INVALID` if the quorum was started; as
 *   `startEmulatedAws`, `takeStateFolder`.
 */
export async function makeQuorumImportPlace(
  dir: string,
  { parties, party }: { readonly parties: number; readonly party: number },
  held: AsyncDisposableStack,
  output: Output,
): Promise<ImportPlace> {
  requirePartyCount(parties);
  if (party < 1 || party > parties) throw usageFailure(`there is no party ${party} of ${parties}`, 'see --party');
  const lock = await takeStateFolder(dir, { reset: false, parties, aws: true }, output);
  held.defer(() => lock.release());
  for (const number of numbersTo(parties)) {
    const own = await takePartyFolder(partyFolder(dir, number));
    held.defer(() => own.release());
  }
  const emulated = await startQuorumAws(dir, { ...UNUSED, dir, parties }, output);
  held.defer(() => emulated.stop());
  const options = { ...UNUSED, dir, parties, emulated };
  const lastMeshPorts = await readMeshPorts(dir, numbersTo(parties));
  const { parties: ports } = await chooseQuorumPorts({ ...options, lastMeshPorts });
  const { trust, measured } = await prepareTrust(options, dir, ports);
  if (trust.record.body.parties.some(({ address }) => address !== undefined)) {
    const cure = 'its parties keep their own signing keys: choose another folder with --dir';
    throw failure('STATE_INVALID', `the quorum in ${dir} was started`, cure, { dir });
  }
  const own = ports.find((chosen) => chosen.party === party);
  if (own === undefined) throw failure('INTERNAL', `party ${party} has no ports`, 'report it');
  const { file } = await configureParty(options, dir, own);
  const makers = deviceMakers({
    root: trust.root,
    instanceId: instanceIdOf(trust.charter, party),
    programs: nodePrograms({ threshold: true, configFile: file }),
    measured,
    onEvent: tellModuleEvents(output),
  });
  const { s3Url, kmsUrl } = emulated;
  return { config: file, device: makers.get('engine'), emulators: { s3Url, kmsUrl } };
}
