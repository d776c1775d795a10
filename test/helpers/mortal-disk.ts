/**
 * The disk of a process that kills itself (SIGKILL) at one of its writes: for tests that walk through all of them.
 */
import { type FileOps, nodeFileOps, type OpenFile } from '../../storage/file-ops.ts';

/**
 * Returns the disk of a process that is killed before its write number `deadline`, from 0, or in the middle of it.
 */
export function mortalDisk(deadline: number): FileOps {
  let writes = 0;
  const boundary = async (): Promise<void> => {
    if (writes++ < deadline) return;
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  };
  const before = <A extends unknown[], T>(run: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      await boundary();
      return await run(...args);
    };
  };
  const mortal = (file: OpenFile): OpenFile => ({
    read: (...args) => file.read(...args),
    async write(buffer, offset, length) {
      if (writes === deadline) await file.write(buffer, offset, Math.floor(length / 2));
      await boundary();
      return await file.write(buffer, offset, length);
    },
    stat: () => file.stat(),
    sync: before(() => file.sync()),
    close: () => file.close(),
  });
  return {
    ...nodeFileOps,
    open: async (...args) => mortal(await nodeFileOps.open(...args)),
    link: before(nodeFileOps.link),
    rename: before(nodeFileOps.rename),
    unlink: before(nodeFileOps.unlink),
    mkdir: before(nodeFileOps.mkdir),
    chmod: before(nodeFileOps.chmod),
  };
}
