/**
 * `--expect FILE`: which measurements a person trusts, in the forms in which people have them: a release set of Arca
 * (JSON or as stored), a list of its entries or one of them, or what `nitro-cli build-enclave` prints.
 */
import { z } from 'zod';
import type { Measurement, Platform } from '../../../attestation/document/index.ts';
import { decodeSignedReleaseSet, measurementsOf, RELEASE_PLATFORMS } from '../../../attestation/governance/index.ts';
import { isTrustedAt } from '../../../attestation/governance/measurements.ts';
import { ROLES, type Role } from '../../../attestation/role.ts';
import { fromHex } from '../../../common/bytes.ts';
import { failure } from '../framework/failure.ts';
import { readLimited } from '../framework/read-limited.ts';

/** Measurements that are trusted at an instant. */
export type MeasurementsAt = (atMs: number) => readonly Measurement[];

/** A release set of 512 entries in JSON takes less. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;

const pcrValue = z.string().regex(/^[0-9a-fA-F]{96}$/, 'needs 48 bytes in hex');
const pcrs = z
  .record(z.string().regex(/^(?:PCR)?(?:[0-9]|[12][0-9]|3[01])$/i, 'needs a number of 0 to 31'), pcrValue)
  .refine((values) => Object.keys(values).length > 0, 'needs at least one register');
const time = z.union([z.iso.datetime(), z.int().nonnegative()]).transform((value) => new Date(value).getTime());
const entry = z.object({
  release: z.string().min(1).default('expected'),
  platform: z.enum(RELEASE_PLATFORMS).default('enclave'),
  role: z.enum(ROLES).default('engine'),
  pcrs,
  notBefore: time.default(0),
  notAfter: time.default(Number.MAX_SAFE_INTEGER),
});
/** What the tools of Nitro enclaves print; `HashAlgorithm` stands beside the registers. */
const nitroCli = z.object({
  Measurements: z
    .record(z.string(), z.string())
    .transform((values) => Object.fromEntries(Object.entries(values).filter(([name]) => /^PCR\d+$/.test(name))))
    .pipe(pcrs),
});
const signedSet = z.object({ body: z.object({ entries: z.array(entry) }) });
const Forms = z.union([
  z.object({ releaseSet: signedSet }).transform(({ releaseSet }) => releaseSet.body.entries),
  signedSet.transform(({ body }) => body.entries),
  z.object({ entries: z.array(entry) }).transform(({ entries }) => entries),
  z.array(entry),
  nitroCli.transform(({ Measurements }) => [entry.parse({ pcrs: Measurements })]),
  entry.transform((one) => [one]),
  pcrs.transform((values) => [entry.parse({ pcrs: values })]),
]);

/**
 * Reads the file. Signatures in it are not looked at: who names a file with `--expect` vouches for it.
 *
 * @param developer - Whether the trust anchor is a developer root: entries of platform `developer` count only then.
 * @throws {@link KmsError} `REQUEST_INVALID` if it is none of the forms.
 */
export async function readExpectedRelease(file: string, developer: boolean): Promise<MeasurementsAt> {
  const cure =
    "give a release set ('arca release show --json'), an entry of one, or the output of nitro-cli build-enclave";
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readLimited(file, MAX_FILE_BYTES);
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot read the expected release ${file}`, cure, {}, error);
  }
  if (bytes === undefined) {
    throw failure('REQUEST_INVALID', `${file} has more than ${MAX_FILE_BYTES} bytes`, cure);
  }
  const text = Buffer.from(bytes).toString('utf8').trimStart();
  if (!/^[[{]/.test(text)) return readStoredSet(bytes, file, cure, developer);
  const value = parseJson(text);
  const parsed = Forms.safeParse(value);
  if (!parsed.success) {
    throw failure('REQUEST_INVALID', `${file} names no measurements that can be compared`, cure, {}, parsed.error);
  }
  const entries = parsed.data.filter(({ platform }) => platform !== 'developer' || developer);
  return (atMs) =>
    entries
      .filter(({ notBefore, notAfter }) => isTrustedAt({ notBeforeMs: notBefore, notAfterMs: notAfter }, atMs))
      .map((one) => ({
        release: one.release,
        platform: shapeOf(one),
        role: one.role,
        pcrs: new Map(
          Object.entries(one.pcrs).map(([name, text]) => [Number(name.replace(/^PCR/i, '')), fromHex(text)]),
        ),
      }));
}

/** A release set as `arca release create` writes it: canonical CBOR. */
function readStoredSet(bytes: Uint8Array, file: string, cure: string, developer: boolean): MeasurementsAt {
  try {
    const { body } = decodeSignedReleaseSet(new Uint8Array(bytes));
    const entries = body.entries.filter(({ platform }) => platform !== 'developer' || developer);
    return (atMs) => measurementsOf({ ...body, entries }, atMs);
  } catch (error) {
    throw failure('REQUEST_INVALID', `${file} is neither JSON nor a stored release set`, cure, {}, error);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Developer documents have the shape of the device that stands in their role's place. */
function shapeOf({ platform, role }: { platform: (typeof RELEASE_PLATFORMS)[number]; role: Role }): Platform {
  if (platform !== 'developer') return platform;
  return role === 'engine' ? 'enclave' : 'nitro-tpm';
}
