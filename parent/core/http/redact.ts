/**
 * Makes a config fit to be shown: what may hold a credential is blotted out by name and by shape.
 */

const SECRET_NAME = /(secret|password|passphrase|token|credential|private_key|access_key|api_key|pem$|^key$|cert$)/i;
const USER_INFO = /^([a-z][a-z0-9+.-]*:\/\/)[^/@\s]+@/i;
const PEM = /-----BEGIN [A-Z ]+-----/;
const BLOT = '[redacted]';

/**
 * Returns a copy without anything that may be a credential. Names of settings stay, so that people see they are set.
 *
 * @example
 * redact({ tls: { key: 'x' }, url: 'https://me:pw@host/' }); // { tls: { key: '[redacted]' }, url: 'https://[redacted]@host/' }
 */
export function redact(value: unknown): unknown {
  if (typeof value === 'string') return PEM.test(value) ? BLOT : value.replace(USER_INFO, `$1${BLOT}@`);
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, hides(name, inner) ? BLOT : redact(inner)]),
  );
}

/** A section such as `[tls.key]` is walked; a value of that name is not shown. */
function hides(name: string, value: unknown): boolean {
  return SECRET_NAME.test(name) && typeof value !== 'boolean' && typeof value !== 'number' && !isSection(value);
}

function isSection(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
