/**
 * The Core of developer mode: insecure RPCs exist, and only an engine in developer mode is accepted.
 */
import { runServiceProcess } from '../../common/service-process.ts';
import { startCoreService } from './process.ts';

await runServiceProcess('core', true, startCoreService(true));
