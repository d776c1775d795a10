/** A developer quorum of test parameters on free ports that says nothing of its start. */
import { startDeveloperQuorum } from '../../parent/cli/quorum/run-quorum.ts';
import type { DeveloperQuorumOptions, RunningQuorum } from '../../parent/cli/quorum/running-quorum.ts';
import { QUIET } from './quiet-output.ts';

/** What has to be said of a quorum; the rest has values that fit tests. */
export type QuietQuorumOptions = Partial<DeveloperQuorumOptions> & Pick<DeveloperQuorumOptions, 'dir' | 'parties'>;

/** Starts it; the caller stops it. */
export function startQuietQuorum(options: QuietQuorumOptions): Promise<RunningQuorum> {
  return startDeveloperQuorum(
    {
      params: 'test',
      reset: false,
      clientPort: 0,
      meshPort: 0,
      publicPort: 0,
      opsPort: 0,
      anyPorts: true,
      logLevel: 'info',
      treatV0ExtraDataAsEmpty: false,
      ...options,
    },
    QUIET,
  );
}
