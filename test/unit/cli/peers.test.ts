/** The table of peers: a line each, and nothing a peer says can paint on a terminal. */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { duration, peersTable } from '../../../parent/cli/actions/peers.ts';
import { type PeerState, PeerStateSchema } from '../../../proto/gen/engine_pb.js';

const NOW = 1_800_000_000_000;
const peer = (fields: Partial<PeerState>) => create(PeerStateSchema, fields as object);

t.test('shows what each peer has proven, and why others have not', async (t) => {
  const table = peersTable(
    [
      peer({
        role: 'core',
        party: 1,
        reachable: true,
        attested: true,
        release: '1.0.0',
        expiresMs: BigInt(NOW + 7_384_000),
        skewMs: -12n,
        lastSeenMs: BigInt(NOW - 3000),
      }),
      peer({ role: 'engine', party: 2, reason: 'release 0.9 is not trusted: PCR0 expected a, actual b' }),
    ],
    NOW,
  );
  t.strictSame(table.split('\n'), [
    'ROLE    PARTY  REACHABLE  ATTESTED  RELEASE  EXPIRES IN  SKEW    LAST SEEN',
    'core    1      yes        yes       1.0.0    2 h 3 min   -12 ms  3 s ago',
    'engine  2      NO         NO        -        -           -       never      release 0.9 is not trusted: PCR0 expected a, actual b',
  ]);
  t.equal(peersTable([], NOW), 'no peers');
});

t.test('shows nothing that a terminal would obey', async (t) => {
  const text = '\u001b[31mred\nnew line\u202e';
  const table = peersTable([peer({ role: text, release: text, reason: text, expiresMs: 2n ** 64n - 1n })], NOW);
  t.match(table.split('\n').length, 2);
  t.notMatch(table, /[^\x20-\x7e\n]/);
});

t.test('spans of time have their two largest units', async (t) => {
  const cases = [
    [0, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_725_000, '1 h 2 min'],
    [47 * 3_600_000, '47 h 0 min'],
    [100 * 3_600_000, '4 d 4 h'],
    [-90_000, '-1 min'],
  ] as const;
  for (const [ms, text] of cases) t.equal(duration(ms), text);
});
