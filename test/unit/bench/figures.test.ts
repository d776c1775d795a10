/** Figures: rounding, goals, and the tables that people read. */
import t from 'tap';
import { Figures, markdownTable, reaches, round, textTable } from '../../bench/figures.ts';
import { cpuSeconds, mainThreadCpuSeconds, memory } from '../../bench/process-usage.ts';
import { addWhere } from '../../bench/where.ts';

const rate = { name: 'a.perSecond', value: 1234.56, unit: 'per second', goal: 1000 } as const;
const latency = { name: 'a.p50Ms', value: 0.12345, unit: 'ms', goal: 0.1, note: 'slow' } as const;

t.test('keeps three significant digits and all digits before the point', async (t) => {
  for (const [value, shown] of [
    [1234.56, 1235],
    [99.96, 100],
    [12.345, 12.3],
    [0.0012345, 0.00123],
    [0, 0],
  ] as const) {
    t.equal(round(value), shown, `${value}`);
  }
});

t.test('rates have to be at least their goal, everything else at most', async (t) => {
  t.equal(reaches(rate), true);
  t.equal(reaches({ ...rate, value: 999 }), false);
  t.equal(reaches(latency), false);
  t.equal(reaches({ ...latency, value: 0.1 }), true);
  t.equal(reaches({ name: 'b', value: 1, unit: 'ms' }), undefined);
});

t.test('shows each figure once, in the order found, and marks a missed goal', async (t) => {
  const figures = new Figures();
  figures.add({ ...rate, value: 1 });
  figures.add(latency);
  figures.add(rate);
  t.strictSame(figures.toRecord(), { 'a.perSecond': 1235, 'a.p50Ms': 0.123 });
  t.strictSame(textTable(figures.all()).split('\n'), [
    'figure       measured         goal     note',
    'a.perSecond  1235 per second  ≥ 1000',
    'a.p50Ms      0.123 ms         ≤ 0.1 !  slow',
  ]);
  t.equal(markdownTable(figures.all()).split('\n').at(-1), '| a.p50Ms | 0.123 ms | ≤ 0.1 ! | slow |');
});

t.test('reads processor time and memory of a running process', async (t) => {
  for (const end = process.cpuUsage().user + 60_000; process.cpuUsage().user < end; );
  const all = cpuSeconds(process.pid);
  const main = mainThreadCpuSeconds(process.pid);
  t.ok(main >= 0.05 && all >= main - 0.02, `${main} s of ${all} s`);
  const { residentMb, peakMb } = memory(process.pid);
  t.ok(residentMb > 10 && peakMb >= residentMb, `${residentMb} of ${peakMb} MB`);
});

t.test('says where the time of a decryption goes, and what no step explains', async (t) => {
  const figures = new Figures();
  for (const process of ['core', 'engine']) {
    figures.add({ name: `public.bigCompressed.euint64.inFlight16.cpu.${process}Ms`, value: 0.3, unit: 'ms' });
  }
  for (const step of [
    'transport.http2',
    'transport.frames',
    'protobuf.decodeRequest',
    'protobuf.encodeResponse',
    'validate.public',
    'core.requestDigest',
    'core.sqlite.inFlight16',
    'native.publicDecrypt',
    'native.signature',
    'engine.eip712Digest',
    'engine.encodePayload',
  ]) {
    figures.add({ name: `step.${step}`, value: 30, unit: 'µs' });
  }
  addWhere(figures);
  const record = figures.toRecord();
  t.equal(record['where.public.core.rest'], 150);
  t.equal(record['where.public.engine.signatures'], 60);
  t.equal(record['where.public.engine.rest'], 30);
  t.equal(figures.all().at(-1)?.note, '10 % of 300 µs');
});
