/**
 * Where the parts of this package stand: TypeScript sources in a clone, JavaScript under `dist` once installed.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
/** Folder of the modules: the clone, or `dist` of the installed package. */
const MODULES = new URL('../../../', import.meta.url);
/** Folder of the package itself. */
const PACKAGE = existsSync(new URL('package.json', MODULES)) ? MODULES : new URL('../', MODULES);

/** Returns the path of a module given without its extension, e.g. `enclave/main-dev`. */
export function modulePath(name: string): string {
  return fileURLToPath(new URL(`${name}${EXTENSION}`, MODULES));
}

/** Returns the path of any other file of the package, e.g. `scripts/verify-answer.mjs`. */
export function packagePath(name: string): string {
  return fileURLToPath(new URL(name, PACKAGE));
}

/** Returns how a person calls this program from where it stands. */
export function invocation(): string {
  return PACKAGE === MODULES ? 'bin/arca' : 'npx arca';
}
