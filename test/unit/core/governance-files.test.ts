/** What a Core knows of governance: from its files, kept in step with the engine, written back, never put back. */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { encodeSigned, makeRecord, signRecord, verifyRecord } from '../../../attestation/governance/index.ts';
import { readGovernedFiles, writeNodeFile } from '../../../attestation/node/node-files.ts';
import { systemClock as clock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { openGovernanceFiles } from '../../../parent/core/mesh/governance-files.ts';
import { GovernanceStateSchema } from '../../../proto/gen/engine_pb.js';
import { present } from '../../helpers/present.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { testTrust } from '../../helpers/test-trust.ts';

async function open(t: Teardown) {
  const trust = await testTrust(tempDir(t));
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLogger({ name: 'core', level: 'debug', destination });
  const files = openGovernanceFiles({ config: trust.config, files: await trust.files(), clock, log });
  const record = (version: number, key = trust.governanceKey) =>
    encodeSigned(signRecord(makeRecord({ ...trust.record.body, version }), key));
  const stateWith = (bytes: Uint8Array) => create(GovernanceStateSchema, { record: bytes });
  return { trust, lines, files, record, stateWith };
}

t.test('a newer record of the engine is taken, written, and read by the next start', async (t) => {
  const { trust, files, record, stateWith } = await open(t);
  t.equal(files.book.versions.record, 1);
  files.take(stateWith(record(4)));
  t.equal(files.book.versions.record, 4);
  await files.close();
  const written = present((await readGovernedFiles(trust.config)).record);
  t.equal(verifyRecord(written, trust.charter).body.version, 4);
});

t.test('what is refused is told once, however often it is seen', async (t) => {
  const { trust, lines, files, record, stateWith } = await open(t);
  const forged = stateWith(record(9, trust.releaseKey));
  for (let i = 0; i < 5; i++) files.take(forged);
  files.take(stateWith(record(5)));
  for (let i = 0; i < 5; i++) files.take(stateWith(record(3)));
  t.equal(files.book.versions.record, 5);
  const refused = lines.filter(({ event }) => event === 'governance.refused');
  t.match(
    refused.map(({ err }) => err),
    [{ code: /^(?:APPROVAL_MISSING|KEY_INVALID)$/ }, { code: 'PRECONDITION_FAILED' }],
    'one line for each object',
  );
});

t.test('files that change while there is no engine to ask are taken', async (t) => {
  const { trust, lines, files, record } = await open(t);
  await files.reread();
  await writeNodeFile(trust.config.attestation.record_path, record(2));
  await files.reread();
  t.equal(files.book.versions.record, 2);
  await files.close();
  await writeNodeFile(trust.config.attestation.record_path, Uint8Array.of(1, 2, 3));
  await files.reread();
  t.equal(files.book.versions.record, 2, 'a damaged one changes nothing');
  t.equal(lines.filter(({ event }) => event === 'governance.refused').length, 1);
});

t.test('two writers of one file at once leave one of both, whole', async (t) => {
  const { trust, record } = await open(t);
  const path = trust.config.attestation.record_path;
  await Promise.all([6, 7, 8].map((version) => writeNodeFile(path, record(version))));
  const written = present((await readGovernedFiles(trust.config)).record);
  t.ok([6, 7, 8].includes(verifyRecord(written, trust.charter).body.version));
});

t.test('a Core without record or release set does not start', async (t) => {
  const { trust } = await open(t);
  const log = createLogger({ name: 'core', level: 'silent' });
  const all = await trust.files();
  for (const name of ['record', 'releases'] as const) {
    const files = { ...all, [name]: undefined };
    t.throws(() => openGovernanceFiles({ config: trust.config, files, clock, log }), { code: 'STATE_INVALID' }, name);
  }
});
