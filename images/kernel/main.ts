/** `scripts/kernel-build`: the pinned kernel, out of the cache or built. Prints its digest. */
import { sha256 } from '../build/digest.ts';
import { kernel } from './build-kernel.ts';

process.stdout.write(`${sha256(await kernel((line) => process.stderr.write(`${line}\n`)))}\n`);
