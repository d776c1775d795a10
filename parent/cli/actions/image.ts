/** What `arca image inspect|measure|sign|verify|diff` do. */
import { X509Certificate } from 'node:crypto';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import { readCpio } from '../../../images/cpio/read-cpio.ts';
import { diffImages, type ImageDifference } from '../../../images/eif/diff-images.ts';
import { type EnclaveImage, type ImageSection, sectionOf } from '../../../images/eif/format.ts';
import { readSignature, requestSignature, signatureFaults, signImage } from '../../../images/eif/image-signature.ts';
import { type ImageMeasurement, measureImage } from '../../../images/eif/measure-image.ts';
import { readImage } from '../../../images/eif/read-image.ts';
import { writeImage } from '../../../images/eif/write-image.ts';
import { EXIT, failure, hasCode, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readLimited } from '../framework/read-limited.ts';
import { runSigner } from '../framework/run-signer.ts';
import { readRegisters } from '../governance/measurement-files.ts';
import { readBytes, writeNewFile } from '../governance/object-files.ts';

/** Larger than any image that boots in the memory of an enclave that we size. */
const MAX_IMAGE_BYTES = 1024 * 1024 * 1024;
const PCR8 = 8;

/** `arca image inspect`. */
export async function runInspect(file: string, output: Output): Promise<void> {
  const image = await readImageFile(file);
  const { version, architecture, defaultMemoryBytes, defaultCpus } = image;
  const sections = image.sections.map(describeSection);
  const signed = sectionOf(image, 'signature') !== undefined;
  output.result(
    { version, architecture, defaultMemoryBytes, defaultCpus, signed, sections },
    [
      `${file}: version ${version}, ${architecture}, ${signed ? 'signed' : 'not signed'}`,
      ...sections.flatMap(({ kind, offset, sizeBytes, text, files }) => [
        `  ${kind.padEnd(10)} at ${offset}, ${sizeBytes} bytes${text === undefined ? '' : `: ${text}`}`,
        ...(files ?? []).map(({ path, mode, sizeBytes: bytes }) => `    ${mode.padStart(6)} ${bytes} ${path}`),
      ]),
    ].join('\n'),
  );
}

/** `arca image measure`. */
export async function runMeasure(
  file: string,
  { certificate }: { readonly certificate?: string | undefined },
  output: Output,
): Promise<void> {
  const image = await readImageFile(file);
  const given = certificate === undefined ? undefined : await readCertificate(certificate);
  const registers = namedRegisters(measureImage(image, given?.raw ?? signerOf(image)));
  output.result(registers, linesOf(registers).join('\n'));
}

/** `arca image sign`. */
export async function runSign(
  file: string,
  options: {
    readonly key?: string | undefined;
    readonly signWith?: string | undefined;
    readonly certificate: string;
    readonly out: string;
    readonly force?: true | undefined;
  },
  output: Output,
): Promise<void> {
  const image = await readImageFile(file);
  const certificate = await readCertificate(options.certificate);
  const measurement = measureImage(image, certificate.raw);
  const data = await signatureOf(measurement.get(0) ?? new Uint8Array(), certificate, options);
  const sections = image.sections.filter(({ kind }) => kind !== 'signature');
  const written = writeImage({ ...image, sections: [...sections, { kind: 'signature', data }] });
  warnOfTimes(certificate, output);
  await writeNewFile(options.out, written, options.force === true);
  const registers = namedRegisters(measurement);
  output.result(
    { out: options.out, registers },
    [`${options.out}: signed by ${certificate.subject}`, ...linesOf(registers)].join('\n'),
  );
}

/** The section, by a key in a file or by a command that reaches a key elsewhere. */
async function signatureOf(
  pcr0: Uint8Array,
  certificate: X509Certificate,
  { key, signWith }: { readonly key?: string | undefined; readonly signWith?: string | undefined },
): Promise<Uint8Array> {
  if ((key === undefined) === (signWith === undefined)) {
    throw usageFailure('needs --key or --sign-with, and not both', 'give one of them');
  }
  if (key !== undefined) return signImage(pcr0, certificate.toString(), (await readBytes(key)).toString('utf8'));
  const { digest, complete } = requestSignature(pcr0, certificate);
  return complete(await runSigner(signWith ?? '', digest));
}

/** `arca image verify`. */
export async function runVerify(
  file: string,
  { pcrs }: { readonly pcrs?: string | undefined },
  output: Output,
): Promise<void> {
  const image = await readImageFile(file);
  const section = sectionOf(image, 'signature');
  const signature = section && readSignature(section);
  const measurement = measureImage(image, signature?.certificate.raw);
  const faults =
    signature === undefined
      ? ['it is not signed']
      : signatureFaults(signature, measurement.get(0) ?? new Uint8Array(), systemClock.nowMs());
  if (pcrs !== undefined) faults.push(...registerFaults(measurement, await readRegisters(pcrs)));
  const registers = namedRegisters(measurement);
  const ok = faults.length === 0;
  const signer = signature?.certificate.subject;
  output.result(
    { ok, faults, registers, ...(signer !== undefined && { signer }) },
    [
      ok ? `ok: ${file} is signed by ${signer}` : `${file} does not verify:`,
      ...faults.map((fault) => `  ${fault}`),
      ...linesOf(registers),
    ].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** `arca image diff`. */
export async function runDiff(first: string, second: string, output: Output): Promise<void> {
  const { differences, registers } = diffImages(await readImageFile(first), await readImageFile(second));
  const measuresSame = registers.length === 0;
  const verdict = measuresSame
    ? `ok: both measure the same${differences.length === 0 ? '' : '; what differs is not measured'}`
    : `registers ${registers.join(', ')} differ`;
  output.result({ measuresSame, registers, differences }, [...differences.map(differenceLine), verdict].join('\n'));
  if (!measuresSame) process.exitCode = EXIT.failed;
}

async function readImageFile(path: string): Promise<EnclaveImage> {
  const bytes = await readLimited(path, MAX_IMAGE_BYTES).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) throw failure('NOT_FOUND', `no file ${path}`, 'check the path', {}, error);
    throw failure('REQUEST_INVALID', `cannot read ${path}`, 'check the path and its permissions', {}, error);
  });
  if (bytes === undefined) {
    throw failure('REQUEST_INVALID', `${path} is larger than ${MAX_IMAGE_BYTES} bytes`, 'give an enclave image');
  }
  return readImage(bytes);
}

async function readCertificate(path: string): Promise<X509Certificate> {
  const bytes = await readBytes(path);
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw failure('REQUEST_INVALID', `${path} holds no certificate`, 'give it in PEM', {}, error);
  }
}

/** DER of the certificate of an image that is signed. */
function signerOf(image: EnclaveImage): Uint8Array | undefined {
  const section = sectionOf(image, 'signature');
  return section && readSignature(section).certificate.raw;
}

function describeSection({ kind, offset, data }: ImageSection) {
  const text = kind === 'cmdline' || kind === 'metadata' ? Buffer.from(data).toString('utf8') : undefined;
  const common = { kind, offset, sizeBytes: data.length, ...(text !== undefined && { text }) };
  const files = kind === 'ramdisk' ? filesOf(data) : undefined;
  return { ...common, text, ...(files !== undefined && { files }) };
}

function filesOf(ramdisk: Uint8Array) {
  try {
    return readCpio(ramdisk).map(({ path, mode, data }) => ({ path, mode: mode.toString(8), sizeBytes: data.length }));
  } catch (error) {
    // A kernel may know other forms: what is in them stays unsaid.
    if (!isKmsError(error)) throw error;
    return undefined;
  }
}

function registerFaults(found: ImageMeasurement, wanted: ReadonlyMap<number, Uint8Array>): string[] {
  return [...wanted].flatMap(([index, value]) => {
    const have = found.get(index);
    if (have !== undefined && equalBytes(have, value)) return [];
    if (have === undefined && index !== PCR8) return [];
    return [`PCR${index} should be ${toHex(value)} and is ${have === undefined ? 'zero: not signed' : toHex(have)}`];
  });
}

function warnOfTimes({ validFromDate, validToDate }: X509Certificate, output: Output): void {
  const nowMs = systemClock.nowMs();
  if (nowMs >= validFromDate.getTime() && nowMs <= validToDate.getTime()) return;
  output.warn('the certificate is not valid now: enclaves of this image do not boot');
}

const namedRegisters = (measurement: ImageMeasurement): Readonly<Record<string, string>> =>
  Object.fromEntries([...measurement].map(([index, value]) => [`PCR${index}`, toHex(value)]));

const linesOf = (registers: Readonly<Record<string, string>>): string[] =>
  Object.entries(registers).map(([name, value]) => `  ${name}  ${value}`);

function differenceLine({ what, how, first, second }: ImageDifference): string {
  return [`${what}: ${how}`, ...[first, second].flatMap((side) => (side === undefined ? [] : [`  ${side}`]))].join(
    '\n',
  );
}
