/** What keeps an image from booting is named before anything is started. */
import t from 'tap';
import { bootFaults } from '../../../../images/boot/boot-faults.ts';
import { HEADER_AT, sectionOf } from '../../../../images/eif/format.ts';
import { signImage } from '../../../../images/eif/image-signature.ts';
import { measureImage } from '../../../../images/eif/measure-image.ts';
import { readImage } from '../../../../images/eif/read-image.ts';
import { writeImage } from '../../../../images/eif/write-image.ts';
import { present } from '../../../helpers/present.ts';
import { makeTestCa } from '../../../helpers/test-ca.ts';
import { summed } from '../mutate-images.ts';
import { bytes, SAMPLE_PARTS as PARTS } from '../sample-image.ts';

const NOW = Date.now();
const HOUR_MS = 3_600_000;
const GOOD = writeImage(PARTS);

/** Signs the parts with a certificate of some life, measured as if the kernel were another one. */
function signed(life: { readonly notBeforeMs?: number; readonly notAfterMs?: number }, of = GOOD): Uint8Array {
  const { cert, key } = makeTestCa().issue({ subject: 'signer', ...life });
  const data = signImage(present(measureImage(readImage(of)).get(0)), cert, key);
  return writeImage({ ...PARTS, sections: [...PARTS.sections, { kind: 'signature', data }] });
}

const faults = (file: Uint8Array, architecture = 'x64'): string => bootFaults(file, architecture, NOW).join('\n');

t.test('an image boots, signed or not', async (t) => {
  t.equal(faults(GOOD), '');
  t.equal(faults(signed({})), '');
  t.equal(faults(writeImage({ ...PARTS, architecture: 'aarch64' }), 'arm64'), '');
});

t.test('a damaged image is named', async (t) => {
  t.match(faults(GOOD.subarray(0, GOOD.length - 1)), /section 4 of 15 bytes is cut/);
  t.match(faults(GOOD.subarray(0, 100)), /it has 100 bytes/);
  const flipped = Uint8Array.from(GOOD);
  flipped[GOOD.length - 1] = 0;
  t.match(faults(flipped), /its checksum is [0-9a-f]{8} and should be [0-9a-f]{8}/);
  t.match(faults(bytes('no image at all'.repeat(50))), /does not begin with "\.eif"/);
});

t.test('an image for other machines is named', async (t) => {
  t.equal(faults(GOOD, 'arm64'), 'it is for x86_64, this machine is aarch64');
  t.equal(faults(writeImage({ ...PARTS, architecture: 'aarch64' })), 'it is for aarch64, this machine is x86_64');
  const old = Uint8Array.from(GOOD);
  new DataView(old.buffer).setUint16(HEADER_AT.version, 3);
  t.equal(faults(summed(old)), 'version 3 does not boot, 4 does');
});

t.test('a signature that AWS would refuse is named', async (t) => {
  t.match(faults(signed({ notBeforeMs: NOW - 2 * HOUR_MS, notAfterMs: NOW - HOUR_MS })), /certificate expired/);
  t.match(faults(signed({ notBeforeMs: NOW + HOUR_MS, notAfterMs: NOW + 2 * HOUR_MS })), /certificate begins/);
  const other = writeImage({
    ...PARTS,
    sections: [{ kind: 'kernel', data: bytes('another') }, ...PARTS.sections.slice(1)],
  });
  t.match(faults(signed({}, other)), /signs another image/);
  const garbage = writeImage({ ...PARTS, sections: [...PARTS.sections, { kind: 'signature', data: bytes('x') }] });
  t.match(faults(garbage), /^its signature cannot be read: not strict CBOR/);
});

t.test('a signature begins with its certificate, which is where loaders look for it', async (t) => {
  const section = present(sectionOf(readImage(signed({})), 'signature'));
  t.same(section.subarray(0, 23), Uint8Array.of(0x81, 0xa2, 0x73, ...bytes('signing_certificate'), 0x99));
});

t.test('all faults are named at once', async (t) => {
  const file = signed({ notBeforeMs: NOW - 2 * HOUR_MS, notAfterMs: NOW - HOUR_MS });
  t.equal(bootFaults(file, 'arm64', NOW).length, 2);
});
