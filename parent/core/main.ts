/**
 * The Core of a production node: no insecure RPC, and an engine that is not in developer mode.
 */
import { runCoreProcess } from './process.ts';

await runCoreProcess({ developerMode: false });
