/**
 * Whom connections of an enclave may name: `host:port`, or `*.domain:port` for every name below a domain.
 *
 * The list bounds what a proxy may be used for; it authenticates nobody. Names are resolved by the parent, whose answers
 * nobody inside trusts: TLS ends inside and checks the name.
 */
import { type HostPort, parseHostPort } from './end-point.ts';

/** One entry of an allow-list. */
export interface Allowed extends HostPort {
  /** Whether it stands for all names below `host`, and not for `host` itself. */
  readonly below: boolean;
}

/**
 * Reads an entry.
 *
 * @returns Undefined if the text is none: a star stands only in front of a domain of two parts or more.
 * @example
 * parseAllowed('*.s3.eu-west-1.amazonaws.com:443'); // { below: true, host: 's3.eu-west-1.amazonaws.com', port: 443 }
 */
export function parseAllowed(text: string): Allowed | undefined {
  const below = text.startsWith('*.');
  const address = parseHostPort(below ? text.slice(2) : text);
  if (!address || (below && !/\.[a-z]/.test(address.host))) return undefined;
  return { ...address, below };
}

/** Returns whether an entry of the list stands for the address. */
export function isAllowed(list: readonly Allowed[], { host, port }: HostPort): boolean {
  return list.some((entry) => {
    if (entry.port !== port) return false;
    return entry.below ? host.endsWith(`.${entry.host}`) : host === entry.host;
  });
}
