/**
 * The Core of developer mode: insecure RPCs exist, and only an engine in developer mode is accepted.
 */
import { runCoreProcess } from './process.ts';

await runCoreProcess({ developerMode: true });
