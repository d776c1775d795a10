/** Trust is whole tuples of PCRs against a list of releases. */
import t from 'tap';
import {
  type Measurement,
  matchMeasurements,
  type Platform,
  verifyLiveDocument,
} from '../../../../attestation/document/index.ts';
import { FORGED_AT_MS, makeForge, pcrOf, somePcrs, trustedMeasurement } from '../../../helpers/forge-document.ts';

const forge = makeForge();
const live = (platform: Platform = 'enclave', pcrs = somePcrs(platform)) =>
  verifyLiveDocument(forge.document({ platform, pcrs }), { anchor: forge.anchor, nowMs: FORGED_AT_MS });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const tuple = (change: Record<number, Uint8Array>, base = trustedMeasurement()): Measurement => ({
  ...base,
  pcrs: new Map([...base.pcrs, ...Object.entries(change).map(([k, v]) => [Number(k), v] as const)]),
});

t.test('a document belongs to the release all of whose PCRs it has', async (t) => {
  const right = trustedMeasurement('enclave', { release: '2.0.0' });
  const wrong = tuple({ 2: pcrOf(40) });
  const verdict = matchMeasurements(await live(), [wrong, right]);
  t.equal(verdict.matched, right);
  t.same(verdict.mismatches, []);
});

t.test('tuples are not mixed: PCR0 of one release and PCR1 of another trust nobody', async (t) => {
  const verdict = matchMeasurements(await live(), [tuple({ 0: pcrOf(40) }), tuple({ 1: pcrOf(41), 2: pcrOf(42) })]);
  t.equal(verdict.matched, undefined);
  t.same(
    verdict.mismatches.map(({ pcr }) => pcr),
    [0, 1, 2],
  );
});

t.test('every differing PCR of every release is told, with what was expected and what was found', async (t) => {
  const a = tuple({ 0: pcrOf(40), 3: pcrOf(3) }, trustedMeasurement('enclave', { release: 'a' }));
  const b = tuple({ 20: pcrOf(50) }, trustedMeasurement('enclave', { release: 'b' }));
  const { mismatches } = matchMeasurements(await live(), [a, b]);
  t.same(mismatches, [
    { release: 'a', pcr: 0, expected: hex(pcrOf(40)), actual: hex(pcrOf(0)) },
    { release: 'b', pcr: 20, expected: hex(pcrOf(50)), actual: undefined },
  ]);
});

t.test('lists and tuples that are empty, incomplete, malformed or zero trust nobody', async (t) => {
  const document = await live('enclave', somePcrs().set(3, new Uint8Array(48)));
  const rows: [string, readonly Measurement[]][] = [
    ['no releases', []],
    ['an empty tuple', [trustedMeasurement('enclave', { pcrs: new Map() })]],
    ['PCR4 alone', [trustedMeasurement('enclave', { pcrs: new Map([[4, pcrOf(4)]]) })]],
    ['a zero PCR that the document has, too', [tuple({ 3: new Uint8Array(48) })]],
    ['a cut PCR', [tuple({ 0: pcrOf(0).subarray(0, 47) })]],
    ['an empty PCR', [tuple({ 0: new Uint8Array(0) })]],
    ['a longer PCR', [tuple({ 0: Uint8Array.from([...pcrOf(0), 0]) })]],
  ];
  for (const [why, allowed] of rows) t.equal(matchMeasurements(document, allowed).matched, undefined, why);
  t.ok(matchMeasurements(document, [trustedMeasurement()]).matched, 'the good tuple still matches');
});

t.test('an enclave’s document never satisfies an instance’s entry, nor the reverse', async (t) => {
  const pcrs = somePcrs('enclave', 16);
  for (const platform of ['enclave', 'nitro-tpm'] as const) {
    const other = platform === 'enclave' ? 'nitro-tpm' : 'enclave';
    const document = await live(platform, pcrs);
    const verdict = matchMeasurements(document, [trustedMeasurement(other)]);
    t.equal(verdict.matched, undefined, platform);
    t.same(verdict.unusable, [{ release: '1.0.0', reason: `it is for ${other}` }]);
    t.ok(matchMeasurements(document, [trustedMeasurement(platform)]).matched, platform);
  }
});

t.test('an instance’s tuple needs PCR4 and PCR7', async (t) => {
  const pcrs = new Map([[4, pcrOf(4)]]);
  const verdict = matchMeasurements(await live('nitro-tpm'), [trustedMeasurement('nitro-tpm', { pcrs })]);
  t.same(verdict.unusable, [{ release: '1.0.0', reason: 'it lacks PCR7' }]);
});
