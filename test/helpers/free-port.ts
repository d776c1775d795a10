/**
 * Ports for servers that cannot be told to choose one themselves, and ports at which nobody listens. They come from below
 * the range out of which the system serves every other test, so that none of those takes one in the meantime.
 */
import { choosePorts } from '../../parent/cli/supervise/ports.ts';

/** Returns `count` different loopback ports that were free a moment ago. */
export const freePorts = (count: number): Promise<number[]> =>
  choosePorts(Array.from({ length: count }, () => ({ purpose: 'test', option: '', address: '127.0.0.1', port: 0 })));
