/**
 * The Core of developer mode: attested by the supervisor's security module under the developer root; insecure RPCs
 * exist, and only an engine in developer mode is accepted.
 */
import { openInheritedNsm } from '../../attestation/developer/nsm-link.ts';
import { readDeveloperAnchor } from '../../attestation/node/node-files.ts';
import { runServiceProcess } from '../../common/service-process.ts';
import { startCoreService } from './process.ts';

await runServiceProcess(
  'core',
  true,
  startCoreService({ developerMode: true, anchor: readDeveloperAnchor, attester: () => openInheritedNsm() }),
);
