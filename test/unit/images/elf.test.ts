/** What programs are linked to, read from the files themselves; and files that are none. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { readElfNeeds } from '../../../images/build/elf.ts';
import { present } from '../../helpers/present.ts';

const ROOT = join(import.meta.dirname, '../../..');
const read = (path: string): Uint8Array => readFileSync(join(ROOT, path));
const isX64 = process.arch === 'x64' && process.platform === 'linux';

t.test('Node asks for the C and the C++ library, and for the loader', { skip: !isX64 }, async (t) => {
  const { libraries, interpreter } = readElfNeeds(readFileSync(process.execPath));
  t.equal(interpreter, '/lib64/ld-linux-x86-64.so.2');
  for (const name of ['libc.so.6', 'libstdc++.so.6', 'libm.so.6']) t.ok(libraries.includes(name), name);
});

t.test('a library has no loader', { skip: !isX64 }, async (t) => {
  const { libraries, interpreter } = readElfNeeds(read('native/nitro/build/nitro.node'));
  t.equal(interpreter, undefined);
  t.ok(libraries.includes('libc.so.6'));
});

t.test('anything else is refused', async (t) => {
  for (const bytes of ['', '\x7fELF', '#!/bin/sh', '\x7fELF\x01\x01'.padEnd(64, '\0')]) {
    t.throws(() => readElfNeeds(Buffer.from(bytes, 'latin1')), { code: 'REQUEST_INVALID' });
  }
});

t.test('a damaged file gives names or a refusal, and nothing else', { skip: !isX64 }, async (t) => {
  const good = read('native/nitro/build/nitro.node');
  const change = fc.tuple(fc.nat(Math.min(good.length, 4096) - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), fc.nat(good.length), (changes, cut) => {
      const file = Uint8Array.from(good.subarray(0, cut));
      for (const [at, value] of changes) if (at < file.length) file[at] = value;
      try {
        return readElfNeeds(file).libraries.every((name) => typeof name === 'string');
      } catch (error) {
        return isKmsError(error, 'REQUEST_INVALID');
      }
    }),
    { numRuns: 300 },
  );
  t.ok(present(good[0], 'the first byte'), 'the file was there');
});
