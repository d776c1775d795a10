/**
 * The version of this program, as its package says.
 */
import { existsSync, readFileSync } from 'node:fs';

/** In a clone the package is one folder up; installed, the modules lie one folder deeper, in `dist`. */
const PLACES = ['../package.json', '../../package.json'];

/** Returns the version in package.json. */
export function packageVersion(): string {
  const file = PLACES.map((place) => new URL(place, import.meta.url)).find((url) => existsSync(url));
  if (file === undefined) return 'unknown';
  const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const version = value !== null && typeof value === 'object' && 'version' in value ? value.version : undefined;
  return typeof version === 'string' ? version : 'unknown';
}
