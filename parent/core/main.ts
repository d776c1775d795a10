/**
 * The Core of a production node: no insecure RPC, and an engine that is not in developer mode.
 */
import { runServiceProcess } from '../../common/service-process.ts';
import { startCoreService } from './process.ts';

await runServiceProcess('core', false, startCoreService(false));
