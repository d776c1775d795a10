/**
 * Where the Core may listen: loopback, unless the operator wrote down that clients may speak plaintext to it.
 */
import { BlockList, isIP } from 'node:net';
import { KmsError } from '../../../common/errors.ts';

/** One address that the Core is to listen on. */
export interface Binding {
  readonly address: string;
  /** Name of the config key that holds the address. */
  readonly setting: string;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Returns whether only this machine can reach the address. Names other than `localhost` count as reachable. */
export function isLoopback(address: string): boolean {
  if (address === 'localhost') return true;
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Refuses to listen in plaintext where others could reach it, unless that was asked for by name.
 *
 * @returns The bindings that others can reach, for a warning at each start.
 * @throws KmsError CONFIG_INVALID naming all of them at once.
 */
export function checkBindings(bindings: readonly Binding[], allowPlaintext: boolean): readonly Binding[] {
  const open = bindings.filter(({ address }) => !isLoopback(address));
  if (open.length > 0 && !allowPlaintext) {
    const named = open.map(({ address, setting }) => `${setting} = "${address}"`).join(', ');
    throw new KmsError(
      'CONFIG_INVALID',
      `${named}: other machines could reach this node in plaintext; use 127.0.0.1, or put a TLS proxy in front and ` +
        'set service.allow_plaintext_clients = true',
    );
  }
  return open;
}
