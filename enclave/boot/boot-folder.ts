/**
 * Where init and engine keep what they tell each other: `parent-cid` from init; `need-mb` and `exit-reason` to it; and the
 * parts of the boot document. In memory, nobody else's.
 */
import type { VsockNative } from '../../attestation/mesh/transport-vsock.ts';
import { createLogger } from '../../common/log.ts';
import { openParentLink, type ParentLink, readParentCid } from './parent-link.ts';

/** See the file comment. */
export const BOOT_FOLDER = '/run/arca';

/** Opens the link to the parent that init was told of; streams from elsewhere are counted in the log. */
export async function openLinkOfInit(native: VsockNative): Promise<ParentLink> {
  const log = createLogger({ name: 'engine', level: 'info' });
  return openParentLink(native, await readParentCid(BOOT_FOLDER), (cid, count) => {
    // A scan must not fill the log: the first, the second, the fourth, the eighth …
    if ((count & (count - 1)) === 0) log.warn({ event: 'engine.foreign-vsock', cid, count });
  });
}
