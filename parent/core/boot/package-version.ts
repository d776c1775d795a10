/**
 * The version of this program, as its package says.
 */
import { existsSync, readFileSync } from 'node:fs';

/** In a clone the package is three folders up; in an installed package the modules lie one folder deeper. */
const PLACES = ['../../../package.json', '../../../../package.json'];

/** Returns the version in package.json. */
export function packageVersion(): string {
  const file = PLACES.map((place) => new URL(place, import.meta.url)).find((url) => existsSync(url));
  if (file === undefined) return 'unknown';
  const { version }: { version?: unknown } = JSON.parse(readFileSync(file, 'utf8'));
  return typeof version === 'string' ? version : 'unknown';
}
