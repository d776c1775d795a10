/** What people are shown of a quorum, and what doctor makes of it; nothing that a party says can paint on a terminal. */
import { createServer } from 'node:http';
import t from 'tap';
import type { CheckedParty, QuorumFindings } from '../../../../parent/cli/doctor/quorum-checks.ts';
import { QUORUM_CHECKS } from '../../../../parent/cli/doctor/quorum-checks.ts';
import { createOutput } from '../../../../parent/cli/framework/output.ts';
import { type PartyStatus, readPartyStatus, type SilentParty } from '../../../../parent/cli/quorum/party-status.ts';
import { quorumTable } from '../../../../parent/cli/quorum/quorum-table.ts';
import { liveTable, QuorumWatch } from '../../../../parent/cli/quorum/watch-table.ts';
import type { Teardown } from '../../../helpers/temp-dir.ts';
import { PARTY_FILE } from './party-file.ts';

const EPOCH = `08${'0'.repeat(61)}1`;

function status(fields: Partial<Omit<PartyStatus, 'epochs'>> = {}, epochs: readonly string[] = [EPOCH]): PartyStatus {
  return {
    state: 'ready',
    attested: 4,
    contexts: [],
    epochs: epochs.map((epochId) => ({ $typeName: 'engine.v1.EpochEntry', contextId: '07', epochId })),
    keyIds: ['aa'],
    crsIds: [],
    publicDecryptions: 10,
    userDecryptions: 5,
    failedChecks: [],
    faults: [],
    ...fields,
  };
}

t.test('a line for each party, with what it has seen of the others', async (t) => {
  const faults = [
    { party: 2, kind: 'wrong share', count: 3 },
    { party: 4, kind: 'flood', count: 0 },
  ];
  t.strictSame(
    quorumTable([
      { party: 1, status: status({ faults }), decryptionsPerSec: 7.25 },
      { party: 2, status: status({ state: 'settling', attested: 2 }, []), decryptionsPerSec: 123.4 },
      { party: 3, status: { state: 'down', reason: 'nobody listens there' } },
    ]),
    [
      'PARTY  STATE     ATTESTED  EPOCH      KEYS  CRS  DECRYPTIONS  PER SECOND  FAULTS',
      '1      ready     4/3       0800…0001  1     0    15           7.3         party 2: 3 × wrong share',
      '2      settling  2/3       0          1     0    15           123         -',
      '3      DOWN      -         -          -     -    -            -           nobody listens there',
    ],
  );
});

t.test('nothing in it would be obeyed by a terminal, however long', async (t) => {
  const evil = '\u001b[31mred\r\nline\u202e'.repeat(100);
  const lines = quorumTable([
    { party: 1, status: { state: 'down', reason: evil } },
    {
      party: 2,
      status: status({ faults: Array.from({ length: 50 }, () => ({ party: 1, kind: evil, count: 9 })) }, [evil]),
    },
  ]);
  t.equal(lines.length, 3);
  for (const line of lines) t.ok(/^[\x20-\x7e…×]*$/.test(line) && line.length < 400, String(line.length));
});

t.test('rates are over the time between two looks, and an engine that starts anew counts from zero', async (t) => {
  let now = 1000;
  const counts = [
    [10, 20],
    [30, 25],
    [5, 25],
  ];
  let look = -1;
  const parties = [1, 2].map((party) => ({ party, node: { ...PARTY_FILE, party } }));
  const read = async ({ party = 0 }: { readonly party?: number | undefined }): Promise<PartyStatus | SilentParty> =>
    status({ publicDecryptions: counts[look]?.[party - 1] ?? 0, userDecryptions: 0 });
  const watch = new QuorumWatch(parties, { nowMs: () => 0, monotonicMs: () => now }, read);
  const rates = async (): Promise<(number | undefined)[]> => {
    look += 1;
    now += 2000;
    return (await watch.look()).map(({ decryptionsPerSec }) => decryptionsPerSec);
  };
  t.strictSame(await rates(), [undefined, undefined]);
  t.strictSame(await rates(), [10, 2.5]);
  t.strictSame(await rates(), [2.5, 0]);
});

t.test('the live table is drawn in place below what else is said, and never wraps', async (t) => {
  let written = '';
  const sink = {
    columns: 30,
    write: (text: string): void => {
      written += text;
    },
  };
  const output = createOutput({ json: false, stdout: sink, stderr: sink });
  const live = liveTable(output, sink);
  live.output.note('before');
  const ended = new AbortController();
  const parties = [{ party: 1, node: PARTY_FILE }];
  const watch = new QuorumWatch(parties, undefined, async () => {
    queueMicrotask(() =>
      setImmediate(() => {
        live.output.warn('in between');
        ended.abort();
      }),
    );
    return status();
  });
  await live.run(watch, ended.signal);
  const shown = written.replaceAll('\u001b', 'ESC').replaceAll('\r', '');
  t.ok(shown.split('\n').every((line) => line.replace(/ESC\[\d*[AJm]/g, '').length < 30));
  t.match(shown, /before\n[\s\S]*PARTY[\s\S]*ESC\[3AESC\[0J[\s\S]*warning: in between[\s\S]*PARTY/);
});

t.test('a terminal that does not know its width gets a table nevertheless', async (t) => {
  const written: string[] = [];
  const write = (text: string): void => {
    written.push(text);
  };
  const sink = { columns: 0, write };
  const live = liveTable(createOutput({ json: false, stdout: sink, stderr: sink }), sink);
  const ended = new AbortController();
  const watch = new QuorumWatch([{ party: 1, node: PARTY_FILE }], undefined, async () => {
    setImmediate(() => {
      live.output.note('in between');
      ended.abort();
    });
    return status();
  });
  await live.run(watch, ended.signal);
  t.match(written.join(''), /PARTY {2}STATE {2}ATTESTED/);
});

t.test('a party that is not there is a result, not a failure', async (t) => {
  t.match(await readPartyStatus({ adminSocket: '/nowhere/admin.sock' }), { state: 'down', reason: /UNAVAILABLE/ });
  t.match(await readPartyStatus({}), { state: 'down', reason: /no admin socket/ });
});

/** Serves `/config` as a Core does. */
async function opsOf(t: Teardown, body: string): Promise<string> {
  const server = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

const config = (processor: string): string =>
  JSON.stringify({ node: { type: 'threshold', party: 1, processor, arch: 'x64' } });

async function findings(
  t: Teardown,
  parties: readonly Partial<CheckedParty & { processor: string }>[],
): Promise<QuorumFindings> {
  const running = await Promise.all(
    parties.map(async (party, at): Promise<CheckedParty> => {
      const opsUrl = await opsOf(t, party.processor === '' ? '{}' : config(party.processor ?? 'EPYC'));
      return {
        party: at + 1,
        address: PARTY_FILE.address,
        status: status(),
        ...party,
        node: { ...PARTY_FILE, ...party.node, opsUrl },
      };
    }),
  );
  return { dir: '/state', parties: 4, running, missing: [] };
}

/** Runs the checks as doctor does: the first fault ends it. */
async function examine(found: QuorumFindings): Promise<{ passed: string[]; fault: string }> {
  const passed: string[] = [];
  for (const { name, run } of QUORUM_CHECKS) {
    try {
      await run(found);
      passed.push(name);
    } catch (error) {
      return { passed, fault: `${name}: ${error instanceof Error ? error.message : ''}` };
    }
  }
  return { passed, fault: '' };
}

t.test('doctor finds nothing wrong with parties that are alike', async (t) => {
  const { passed, fault } = await examine(await findings(t, [{}, {}, {}, {}]));
  t.equal(fault, '');
  t.equal(passed.length, QUORUM_CHECKS.length);
  t.equal(
    (await examine(await findings(t, [{ processor: '' }, { processor: '' }, { processor: '' }, { processor: '' }])))
      .fault,
    '',
  );
});

t.test('doctor names which parties differ, and in what', async (t) => {
  const cases: readonly [string, Parameters<typeof findings>[1], RegExp][] = [
    [
      'processor',
      [{}, { processor: 'Xeon' }, {}, {}],
      /^same processor: .*parties 1, 3, 4: x64 EPYC; parties 2: x64 Xeon/,
    ],
    ['params', [{}, {}, { node: { ...PARTY_FILE, params: 'default' } }, {}], /^same parameters: .*parties 3: default/],
    [
      'release',
      [{}, {}, {}, { node: { ...PARTY_FILE, release: '2' } }],
      /^same program: .*parties 4: 1\.0\.0, release 2/,
    ],
    ['address', [{ address: '0x00' }, {}, {}, {}], /^addresses: .*party 1 is 0x6370/],
    ['mesh', [{}, { status: status({ attested: 3 }) }, {}, {}], /^mesh: party 2 has accepted 2 of 3 others/],
    [
      'silent',
      [{}, {}, {}, { status: { state: 'down', reason: 'gone\u0007' } }],
      /^mesh: party 4 does not answer: gone\?/,
    ],
    ['epochs', [{}, {}, { status: status({}, []) }, {}], /^epochs: .*parties 3: none/],
    [
      'opening of zero',
      [{ status: status({ failedChecks: [{ keyId: 'aa', epochId: EPOCH }] }) }, {}, {}, {}],
      /^keys: an encryption of zero did not open to zero: key aa of epoch .* \(seen by 1\)/,
    ],
    ['keys', [{ status: status({ keyIds: ['bb', 'aa'] }) }, {}, {}, {}], /^keys: .*parties 1: keys aa, bb/],
  ];
  for (const [why, parties, expected] of cases)
    t.match((await examine(await findings(t, parties))).fault, expected, why);
  const down = { ...(await findings(t, [{}, {}, {}])), missing: [{ party: 4, reason: 'it does not run' }] };
  t.match((await examine(down)).fault, /^parties: party 4: it does not run/);
});

t.test('doctor names who was seen doing wrong, but not who was lied to', async (t) => {
  const saw = (kind: string, party: number): Partial<CheckedParty> => ({
    status: status({ faults: [{ party, kind, count: 2 }] }),
  });
  const lied = await examine(await findings(t, [saw('wrong share', 2), {}, saw('wrong share', 2), saw('flood', 2)]));
  t.match(lied.fault, /^behaviour: party 2: wrong share \(seen by 1, 3\); party 2: flood \(seen by 4\)/);
  t.equal((await examine(await findings(t, [saw('another ciphertext', 2), {}, {}, {}]))).fault, '');
});
