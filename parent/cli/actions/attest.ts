/**
 * What `arca attest` does.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { ATTEST_NONCE_BYTES } from '../../../attestation/attest-facts.ts';
import { explainDocument, formatExplanation } from '../../../attestation/document/index.ts';
import { fromHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { parseAddress } from '../../../wire/addresses.ts';
import { attestationJson, factsJson, readAttestationFile } from '../attest/attestation-file.ts';
import { attestationUrl, attestationUrlOf, fetchAttestation, fetchClientLeaf } from '../attest/fetch-attestation.ts';
import { type Judgement, judgeAttestation, judgeClientLeaf } from '../attest/judge.ts';
import { openTrust, type Trust, type TrustOptions } from '../attest/trust.ts';
import type { NodeSelection } from '../client/session.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';

/** Loud on purpose: what is under a developer root proves nothing. */
export const DEVELOPER_WARNING =
  'DEVELOPER ROOT: this document comes from a software device. It proves nothing about hardware.';

/** Oldest document over a nonce that was sent a moment ago. */
const MAX_AGE_MS = 60_000;

/** `arca attest document`. */
export async function runDocument(
  options: NodeSelection & { readonly nonce?: string | undefined; readonly out?: string | undefined },
  output: Output,
): Promise<void> {
  const nonce = nonceOf(options.nonce);
  const { document, facts } = await fetchAttestation(await attestationUrlOf(options), nonce);
  const value = attestationJson({ document, nonce, facts });
  const text = JSON.stringify(value, null, 2);
  if (options.out === undefined) {
    output.result(value, text);
    return;
  }
  try {
    await writeFile(options.out, `${text}\n`);
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot write ${options.out}`, 'give a path that you may write', {}, error);
  }
  output.result({ ...value, file: options.out }, `${options.out}: check it with 'arca attest verify ${options.out}'`);
}

/** `arca attest verify`. */
export async function runVerify(
  target: string,
  options: TrustOptions & { readonly nonce?: string | undefined; readonly address?: string | undefined },
  output: Output,
): Promise<void> {
  if (target.startsWith('grpcs://')) {
    await verifyClientPort(target, options, output);
    return;
  }
  const address = options.address === undefined ? undefined : readAddress(options.address);
  const isFile = target === '-' || existsSync(target);
  const url = isFile ? undefined : attestationUrl(target);
  const trust = await openTrust(options);
  const nonce = url === undefined && options.nonce === undefined ? undefined : nonceOf(options.nonce);
  const attestation =
    url === undefined || nonce === undefined ? await readAttestationFile(target) : await fetchAttestation(url, nonce);
  const judgement = await judgeAttestation(attestation, trust, {
    time: url === undefined ? { kind: 'archived' } : { kind: 'live', nowMs: systemClock.nowMs(), maxAgeMs: MAX_AGE_MS },
    nonce,
    address,
  });
  if (trust.developer) output.warn(DEVELOPER_WARNING);
  if (url === undefined) output.note('judged at its own time: a file proves what was, not what is');
  const source = url ?? target;
  output.result({ verified: judgement.ok, source, ...judgementJson(judgement, trust) }, textOf(judgement));
  if (!judgement.ok) throw refusal(judgement, trust, source);
}

/** `arca attest verify grpcs://HOST:PORT`: the certificate of an attested client port. */
async function verifyClientPort(
  target: string,
  options: TrustOptions & { readonly nonce?: string | undefined; readonly address?: string | undefined },
  output: Output,
): Promise<void> {
  if (options.nonce !== undefined || options.address !== undefined) {
    const cure = 'leave --nonce and --address out, or give HOST:PORT of the public material';
    throw usageFailure('a client port attests its key, neither a nonce nor an address', cure);
  }
  const trust = await openTrust(options);
  const leaf = await fetchClientLeaf(target.replace(/^grpcs:/, 'https:'));
  const judgement = await judgeClientLeaf(leaf, trust, systemClock.nowMs());
  if (trust.developer) output.warn(DEVELOPER_WARNING);
  const { network, party } = leaf;
  const value = { verified: judgement.ok, source: target, network, party, ...judgementJson(judgement, trust) };
  output.result(value, textOf(judgement));
  if (!judgement.ok) throw refusal(judgement, trust, target);
}

/** `arca attest explain`. */
export async function runExplain(
  file: string,
  options: TrustOptions & { readonly live?: true | undefined },
  output: Output,
): Promise<void> {
  const trust = await openTrust(options);
  const attestation = await readAttestationFile(file);
  const judgement = await judgeAttestation(attestation, trust, {
    time: options.live ? { kind: 'live', nowMs: systemClock.nowMs() } : { kind: 'archived' },
  });
  if (trust.developer) output.warn(DEVELOPER_WARNING);
  const { parsed } = judgement.explanation;
  output.result({ parsed, holds: judgement.ok, source: file, ...judgementJson(judgement, trust) }, textOf(judgement));
  if (!parsed) {
    const first = judgement.faults[0] ?? 'it is no document';
    throw failure('ATTESTATION_INVALID', `${file} cannot be read: ${first}`, 'give a document, or the JSON of a node');
  }
}

/** `arca attest pcrs`. */
export async function runPcrs(file: string | undefined, selection: NodeSelection, output: Output): Promise<void> {
  const source = file ?? (await attestationUrlOf(selection));
  const { document } =
    file === undefined ? await fetchAttestation(source, nonceOf(undefined)) : await readAttestationFile(file);
  const trust = await openTrust({});
  const { facts } = await explainDocument(document, { anchor: trust.anchor, time: { kind: 'archived' } });
  if (facts === undefined || facts.pcrs.length === 0) {
    throw failure(
      'ATTESTATION_INVALID',
      `${source} holds no document with readable PCRs`,
      "see why: 'arca attest explain FILE'",
    );
  }
  const { platform, moduleId, signedAt, pcrs } = facts;
  output.note("as the document says it; 'arca attest verify' says whether it is true");
  const registers = Object.fromEntries(pcrs.map(({ index, value }) => [index, value]));
  const lines = pcrs.map(({ index, value }) => `PCR${String(index).padEnd(2)} ${value}`);
  output.result({ source, platform, moduleId, signedAt, pcrs: registers }, lines.join('\n'));
}

function nonceOf(text: string | undefined): Uint8Array {
  return text === undefined ? systemRandom(ATTEST_NONCE_BYTES.max / 2) : fromHex(text);
}

function readAddress(text: string): Uint8Array {
  try {
    return parseAddress(text, '--address');
  } catch {
    throw usageFailure(`'${text}' is no address`, 'give 0x and 40 hexadecimal digits with their EIP-55 checksum');
  }
}

/** Returns a judgement as `--json` gives it. */
function judgementJson({ explanation, facts, faults }: Judgement, trust: Trust): object {
  const { anchor, release, checks, mismatches, comparisons, unusableReleases, facts: document } = explanation;
  return {
    developer: trust.developer,
    anchor,
    release,
    facts: facts && factsJson(facts),
    faults,
    checks,
    mismatches,
    comparisons,
    unusableReleases,
    document,
  };
}

function textOf({ explanation, facts, ok }: Judgement): string {
  const lines = [formatExplanation(explanation)];
  if (facts !== undefined) {
    lines.push(ok ? 'Facts beside it, proven:' : 'Facts beside it, NOT proven:');
    for (const [name, value] of Object.entries(factsJson(facts))) {
      lines.push(`  ${name.padEnd(14)}${String(value).replace(/[^\x20-\x7e]/g, '?')}`);
    }
  }
  return lines.join('\n');
}

function refusal({ faults, explanation }: Judgement, trust: Trust, source: string): Error {
  const wrongRoot = explanation.checks.some(({ checks = [] }) =>
    checks.some(({ number, status }) => number === '3.1' && status === 'failed'),
  );
  const cure =
    wrongRoot && !trust.developer
      ? 'if it is a developer node of yours, name its root: --dir FOLDER or --root FILE'
      : trust.measurements === undefined
        ? 'name the releases that you trust: --expect release.json, or --dir of a node of yours'
        : "do not trust this node; 'arca attest explain' shows every check";
  const code = explanation.verified ? 'ATTESTATION_REJECTED' : 'ATTESTATION_INVALID';
  return failure(code, `${source} does not hold: ${faults.join('; ')}`, cure, { faults: faults.length });
}
