/**
 * The process dies at any step of a write: afterwards the object is there whole or not at all, and a write that
 * had returned is still there.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { contentTag } from '../../../storage/content.ts';
import { type FileOps, nodeFileOps, type OpenFile } from '../../../storage/file-ops.ts';
import { openFileStorage } from '../../../storage/file-storage.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { bytes, chunks, PATH } from './contract.ts';

/** File operations of a process that dies before its step number `deadline`: from then on nothing is done. */
function mortal(deadline: number): { fs: FileOps; steps: () => number } {
  let steps = 0;
  const alive = <T>(run: () => Promise<T>): Promise<T> =>
    steps++ < deadline ? run() : Promise.reject(new Error('the process is dead'));
  const wrap = (file: OpenFile): OpenFile => ({
    read: (...args) => alive(() => file.read(...args)),
    // A write that dies has written a part.
    write: async (buffer, offset, length) => {
      if (steps === deadline) await file.write(buffer, offset, Math.floor(length / 2));
      return await alive(() => file.write(buffer, offset, length));
    },
    stat: () => alive(() => file.stat()),
    sync: () => alive(() => file.sync()),
    close: () => file.close(), // the system closes the files of the dead
  });
  const fs: FileOps = {
    open: (...args) => alive(async () => wrap(await nodeFileOps.open(...args))),
    link: (...args) => alive(() => nodeFileOps.link(...args)),
    rename: (...args) => alive(() => nodeFileOps.rename(...args)),
    unlink: (...args) => alive(() => nodeFileOps.unlink(...args)),
    mkdir: (...args) => alive(() => nodeFileOps.mkdir(...args)),
    chmod: (...args) => alive(() => nodeFileOps.chmod(...args)),
    lstat: (...args) => alive(() => nodeFileOps.lstat(...args)),
    readdir: (...args) => alive(() => nodeFileOps.readdir(...args)),
    realpath: (...args) => alive(() => nodeFileOps.realpath(...args)),
  };
  return { fs, steps: () => steps };
}

const NEW = bytes('the new content');
const OLD = bytes('the old content');

for (const [kind, replace] of [
  ['first', false],
  ['replacing', true],
  ['swapping', true],
] as const) {
  t.test(`a crash at any step of a ${kind} write leaves old or new, never half`, async (t) => {
    let outcomes = '';
    for (let deadline = 0; ; deadline++) {
      const root = tempDir(t);
      const options = { root, prefix: 'PRIV', folderMode: 0o700 };
      if (replace) await (await openFileStorage(options)).put(PATH, OLD);
      const dying = mortal(deadline);
      const result = await openFileStorage(options, dying)
        .then((storage) =>
          kind === 'swapping'
            ? storage.swap(PATH, NEW, contentTag(OLD))
            : storage.put(PATH, chunks(NEW.subarray(0, 5), NEW.subarray(5)), { replace }),
        )
        .catch(() => 'died');

      const after = await openFileStorage(options);
      t.same(readdirSync(join(root, 'PRIV/.tmp')), [], `step ${deadline}: nothing half written is left`);
      const found = (await after.has(PATH)) ? await after.get(PATH) : undefined;
      const state = found === undefined ? 'none' : Buffer.from(found).equals(NEW) ? 'new' : 'old';
      if (found && state === 'old') t.same(found, OLD, `step ${deadline}: the old content is whole`);
      if (result !== 'died') t.equal(state, 'new', 'a write that returned has happened');
      outcomes += `${state} `;
      t.match(
        await after.put(PATH, NEW, { replace }),
        /stored|already/,
        `step ${deadline}: the write can be done again`,
      );
      t.same(await after.get(PATH), NEW);
      if (result !== 'died') break;
    }
    t.match(outcomes, replace ? /^(old )+(new )+$/ : /^(none )+(new )+$/, 'one step makes the difference');
  });
}
