/** The folder of a quorum: which folders are taken for one, what stands in it, and what is refused. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { loadPartyConfig } from '../../../../parent/cli/quorum/own-settings.ts';
import { readQuorumFile, writeQuorumFile } from '../../../../parent/cli/quorum/quorum-file.ts';
import { chooseQuorumPorts } from '../../../../parent/cli/quorum/quorum-ports.ts';
import { PARTY_COUNTS } from '../../../../parent/cli/quorum/running-quorum.ts';
import { writeDeveloperConfig } from '../../../../parent/cli/supervise/node-toml.ts';
import { takeStateFolder } from '../../../../parent/cli/supervise/take-state-folder.ts';
import { QUIET } from '../../../helpers/quiet-output.ts';
import { startQuietQuorum } from '../../../helpers/start-quiet-quorum.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

async function take(dir: string, parties: number, reset = false): Promise<void> {
  (await takeStateFolder(dir, { parties, reset }, QUIET)).release();
}

const stateDir = (t: Teardown): string => join(tempDir(t), 'state');

t.test('a folder remembers how many parties it was made for', async (t) => {
  const dir = stateDir(t);
  await take(dir, 7);
  t.strictSame(await readQuorumFile(dir), { parties: 7 });
  await take(dir, 7);
  await t.rejects(take(dir, 4), { code: 'STATE_INVALID', message: /quorum of 7 parties, not 4 parties/ });
  await t.rejects(take(dir, 1), { code: 'STATE_INVALID', message: /not a single node/ });
  t.strictSame(await readQuorumFile(dir), { parties: 7 }, 'nothing was changed');
});

t.test('the folder of a single node is no quorum until it is cleared', async (t) => {
  const dir = stateDir(t);
  await take(dir, 1);
  mkdirSync(join(dir, 'private'));
  await t.rejects(take(dir, 4), { code: 'STATE_INVALID', message: /holds a single node/ });
  await take(dir, 4, true);
  t.strictSame(await readQuorumFile(dir), { parties: 4 });
});

t.test('a reset forgets the parties and spares what is not ours', async (t) => {
  const dir = stateDir(t);
  await take(dir, 4);
  for (const name of ['party-1', 'party-13', 'party-0', 'party-x', 'partying']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'party-1', 'thesis.doc'), 'x');
  await take(dir, 1, true);
  t.strictSame(
    readdirSync(dir)
      .filter((name) => name.startsWith('party'))
      .sort(),
    ['party-0', 'party-x', 'partying'],
  );
  t.equal(await readQuorumFile(dir), undefined);
});

t.test('a damaged file of a quorum is named, never taken for a single node', async (t) => {
  const dir = stateDir(t);
  await take(dir, 4);
  const good = readFileSync(join(dir, 'quorum.json'), 'utf8');
  const bad = ['', '{', 'null', '[]', '"4"', good.replace('4', '5'), good.replace('4', '40'), good.replace('4', '-4')];
  for (const text of [...bad, good.replace('"version":1', '"version":2'), good.replace('}', ',"x":1}')]) {
    writeFileSync(join(dir, 'quorum.json'), text);
    await t.rejects(readQuorumFile(dir), { code: 'STATE_INVALID', message: /is damaged/ }, JSON.stringify(text));
    await t.rejects(take(dir, 1), { code: 'STATE_INVALID' }, `as a single node: ${JSON.stringify(text)}`);
  }
  await writeQuorumFile(dir, { parties: 4 });
  t.equal(readFileSync(join(dir, 'quorum.json'), 'utf8'), good);
  t.equal(await readQuorumFile(join(dir, 'quorum.json')), undefined, 'a file is no folder of a quorum');
});

t.test('numbers that are no quorum are wrong usage before anything is made', async (t) => {
  const dir = stateDir(t);
  const start = (parties: number, lyingParties: readonly number[] = []) =>
    startQuietQuorum({ dir, parties, lyingParties });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.integer(), fc.double(), fc.integer({ min: 0, max: 20 })), async (parties) => {
      fc.pre(!PARTY_COUNTS.some((count) => count === parties));
      await t.rejects(start(parties), { code: 'REQUEST_INVALID', facts: { usage: true } }, String(parties));
    }),
    { numRuns: 50 },
  );
  for (const liar of [0, 5, -1, 1.5, Number.NaN]) {
    await t.rejects(
      start(4, [1, liar]),
      { code: 'REQUEST_INVALID', facts: { usage: true }, message: /no party/ },
      String(liar),
    );
  }
  t.throws(() => readdirSync(dir), 'no folder was made');
});

t.test('ports are the published ones, a hundred apart, or any free ones, and never twice the same', async (t) => {
  const bases = { clientPort: 0, meshPort: 0, opsPort: 0, publicPort: 0, anyPorts: false };
  const any = await chooseQuorumPorts({ ...bases, parties: 13 });
  const all = [any.publicPort, ...any.parties.flatMap((p) => [p.clientPort, p.meshPort, p.opsPort, p.publicPort])];
  t.equal(new Set(all).size, 1 + 4 * 13);
  t.ok(all.every((port) => port > 0));
  const [first = 0] = all;
  const base = Math.min(first, 60_000);
  const fixed = await chooseQuorumPorts({ ...bases, anyPorts: true, clientPort: base, parties: 4 });
  t.strictSame(
    fixed.parties.map(({ clientPort }) => clientPort),
    [0, 1, 2, 3].map((at) => base + 100 * at),
  );
  const again = await chooseQuorumPorts({
    ...bases,
    parties: 4,
    lastMeshPorts: new Map(any.parties.map(({ party, meshPort }) => [party, meshPort])),
  });
  t.strictSame(
    again.parties.map(({ meshPort }) => meshPort),
    any.parties.slice(0, 4).map(({ meshPort }) => meshPort),
    'the mesh stays where the governed record has it',
  );
  await t.rejects(chooseQuorumPorts({ ...bases, clientPort: 65_300, parties: 4 }), {
    code: 'REQUEST_INVALID',
    message: /no port for party 4/,
    facts: { usage: true },
  });
});

t.test('an environment that would give all parties the same port or vault is refused', async (t) => {
  const dir = tempDir(t);
  const file = await writeDeveloperConfig({
    dir,
    socketPath: join(dir, 'run', 'engine.sock'),
    clientPort: 50_100,
    publicPort: 9001,
    opsPort: 9646,
    logLevel: 'info',
    treatV0ExtraDataAsEmpty: false,
    party: { number: 1, meshPort: 50_001, lies: false, trustFolder: dir },
  });
  t.match(loadPartyConfig(file, { KMS_CORE__TELEMETRY__LOG_LEVEL: 'warn' }), {
    telemetry: { log_level: 'warn' },
    threshold: { listen_port: 50_001, developer_lie: false },
    public_vault: { storage: { file: { prefix: 'PUB-p1' } } },
  });
  const env = { KMS_CORE__SERVICE__LISTEN_PORT: '50200', KMS_CORE__STATE__PATH: '/elsewhere/core.sqlite' };
  t.throws(() => loadPartyConfig(file, env), {
    code: 'CONFIG_INVALID',
    message: /sets service.listen_port, state.path for/,
  });
});
