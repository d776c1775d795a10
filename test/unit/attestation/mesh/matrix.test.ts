/**
 * Who connects to whom: every kind of endpoint on either side, over Unix sockets and TCP, both running the real code.
 * Only two right ones connect; every other pair is refused, with the reason in the log of both sides.
 */
import { Writable } from 'node:stream';
import { createSecureContext } from 'node:tls';
import t from 'tap';
import { makeDeveloperRoot } from '../../../../attestation/developer/chain.ts';
import { AWS_NITRO_ROOT } from '../../../../attestation/document/index.ts';
import type { MeshEndpoint } from '../../../../attestation/mesh/mesh-context.ts';
import { systemClock } from '../../../../common/clock.ts';
import { createLogger } from '../../../../common/log.ts';
import {
  createTestMesh,
  type TestEndpointOptions,
  type TestMesh,
  type TestMeshOptions,
  tryPair,
} from '../../../helpers/mesh-pair.ts';
import { testPcrs } from '../../../helpers/software-nsm.ts';
import type { Teardown } from '../../../helpers/temp-dir.ts';
import { reasonsOf } from './scene.ts';

const KINDS = ['right', 'wrong', 'missing', 'expired', 'debug', 'developer-root'] as const;
type Kind = (typeof KINDS)[number];
const DAY_MS = 86_400_000;
const PAST = { nowMs: () => Date.now() - DAY_MS / 2, monotonicMs: () => performance.now() };
const ZEROS = new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)] as const));

/** An endpoint of some kind and what it has logged since the last look. */
interface Side {
  readonly endpoint: MeshEndpoint;
  readonly takeEvents: () => string[];
}

function logTo(events: string[]) {
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      events.push(String(chunk));
      done();
    },
  });
  return createLogger({ name: 'test', level: 'info', destination });
}

/** What its maker believed: it must open, so its own view and clock find it good. */
function makerOptions(mesh: TestMesh, kind: Kind): Partial<TestEndpointOptions> {
  const other = makeDeveloperRoot({ nowMs: Date.now() - DAY_MS });
  const foreign = mesh.makeView({ anchor: { name: 'other root', certificate: other.certificate } });
  const options: Record<Kind, Partial<TestEndpointOptions>> = {
    right: {},
    wrong: { attester: { pcrs: testPcrs('engine', 'unknown release') } },
    missing: {},
    expired: { clock: PAST },
    debug: { attester: { pcrs: ZEROS } },
    'developer-root': { attester: { root: other }, view: foreign },
  };
  return options[kind];
}

/** Opens an endpoint that shows what its kind says and judges as a right one does. */
async function openSide(mesh: TestMesh, party: number, kind: Kind): Promise<Side> {
  const maker = await mesh.endpoint('engine', { party, ...makerOptions(mesh, kind) });
  const made = await maker.leaf();
  const leaf = kind === 'missing' ? { ...made, secureContext: createSecureContext({ ca: [] }) } : made;
  const events: string[] = [];
  const endpoint: MeshEndpoint = {
    self: maker.self,
    view: mesh.view,
    clock: systemClock,
    log: logTo(events),
    limits: maker.limits,
    chains: maker.chains,
    leaf: async () => leaf,
    health: () => maker.health(),
    connections: () => maker.connections(),
    adopt: (connection) => maker.adopt(connection),
    tick: () => maker.tick(),
    close: () => maker.close(),
  };
  return { endpoint, takeEvents: () => events.splice(0) };
}

/** Lets all kinds of party 1 call all kinds of party 2. */
async function meetAll(t: Teardown, options: TestMeshOptions, check: (o: Meeting) => void): Promise<void> {
  const mesh = await createTestMesh(t, options);
  const clients = await Promise.all(KINDS.map(async (kind) => ({ kind, ...(await openSide(mesh, 1, kind)) })));
  const servers = await Promise.all(KINDS.map(async (kind) => ({ kind, ...(await openSide(mesh, 2, kind)) })));
  for (const transport of ['unix', 'tcp'] as const) {
    for (const client of clients) {
      for (const server of servers) {
        const [near, far] = await tryPair(t, client.endpoint, server.endpoint, { transport });
        const results = [near, far].map(reasonsOf);
        if (near.status === 'fulfilled') near.value.close('the test is done');
        if (far.status === 'fulfilled') await far.value.closed;
        const logged = [client, server].map(({ takeEvents }) => takeEvents().join(''));
        check({
          what: `${client.kind} to ${server.kind} over ${transport}`,
          kinds: [client.kind, server.kind],
          results,
          logged,
        });
      }
    }
  }
}

interface Meeting {
  readonly what: string;
  readonly kinds: readonly Kind[];
  readonly results: readonly string[];
  readonly logged: readonly string[];
}

t.test('only two right endpoints connect, and both sides log why others did not', async (t) => {
  let connected = 0;
  await meetAll(t, {}, ({ what, kinds, results, logged }) => {
    if (kinds.every((kind) => kind === 'right')) {
      connected++;
      t.same(results, ['accepted', 'accepted'], what);
      return;
    }
    for (const [index, side] of ['client', 'server'].entries()) {
      t.not(results[index], 'accepted', `${what}: the ${side} did not connect`);
      t.match(logged[index], /"event":"mesh\.refused".*"reasons":"[a-z,]+"/, `${what}: the ${side} says why`);
    }
  });
  t.equal(connected, 2, 'once over each transport');
});

t.test('each kind is refused for what it is', async (t) => {
  const mesh = await createTestMesh(t);
  const right = await openSide(mesh, 1, 'right');
  const reasons: readonly (readonly [Kind, RegExp, RegExp])[] = [
    ['wrong', /measurement/, /PCR0 of test is [0-9a-f]{96}, it has [0-9a-f]{96}.*PCR1 of test.*PCR2 of test/],
    ['missing', /certificate/, /showed no leaf certificate/],
    ['expired', /certificate|document/, /valid|ended/],
    ['debug', /measurement/, /PCR0 is zero: debug mode/],
    ['developer-root', /document/, /does not verify/],
  ];
  for (const [kind, reason, message] of reasons) {
    const other = await openSide(mesh, 2, kind);
    const [, far] = await tryPair(t, other.endpoint, right.endpoint);
    t.match(reasonsOf(far), reason, kind);
    if (far.status === 'rejected') t.match(far.reason.message, message, `${kind}: all mismatches at once`);
  }
});

t.test('production and developer roots refuse each other', async (t) => {
  const mesh = await createTestMesh(t);
  const production = mesh.makeView({ anchor: AWS_NITRO_ROOT });
  await t.rejects(
    mesh.endpoint('engine', { view: production }),
    { code: 'ATTESTATION_INVALID' },
    'a developer attester opens no endpoint under the production anchor',
  );
  const [developer, other] = [await openSide(mesh, 1, 'right'), await openSide(mesh, 2, 'right')];
  const strict = { ...other.endpoint, view: production };
  const [near, far] = await tryPair(t, developer.endpoint, strict);
  t.equal(reasonsOf(far), 'document');
  t.equal(reasonsOf(near), 'document', 'and the other side is told');
});
