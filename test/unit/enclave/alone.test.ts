/** Whether an engine runs alone or as one of a quorum is governance's to say, not that of who writes its configuration. */
import { join } from 'node:path';
import t from 'tap';
import { encodeSigned, makeRecord, signRecord } from '../../../attestation/governance/index.ts';
import { fromHex } from '../../../common/bytes.ts';
import { createLogger } from '../../../common/log.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { testEngine } from '../../helpers/test-engine.ts';
import { testTrust } from '../../helpers/test-trust.ts';

t.test('an engine that is one of a quorum does not start without its section', async (t) => {
  const folder = tempDir(t);
  const trust = await testTrust(folder, join(folder, 'run', 'engine.sock'));
  const start = async (parties: number) => {
    const members = Array.from({ length: parties }, (_, index) => ({ party: index + 1 }));
    const body = { ...trust.record.body, version: trust.record.body.version + parties, parties: members };
    const record = encodeSigned(signRecord(makeRecord(body), trust.governanceKey));
    const { nsm } = await trust.attester({ role: 'engine' });
    const attestation = { ...(await trust.files()), nsm, record };
    return await testEngine(t, { folder, attestation });
  };
  await (await start(1)).stop();
  const message = /the governed record names 4 parties, so this node is one of a quorum: configure \[threshold\]/;
  await t.rejects(start(4), { code: 'STATE_INVALID', message });
});

t.test('an engine by itself waits for the record that names it', async (t) => {
  const folder = tempDir(t);
  const trust = await testTrust(folder, join(folder, 'run', 'engine.sock'));
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({
    name: 'engine',
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  const { nsm } = await trust.attester({ role: 'engine' });
  const readRecord = async (): Promise<Uint8Array | undefined> => {
    const waiting = lines.find(({ event }) => event === 'engine.unenrolled');
    const address = fromHex(String(waiting?.address).slice(2));
    const parties = [{ party: 1, address }];
    const body = { ...trust.record.body, version: trust.record.body.version + 1, parties };
    return encodeSigned(signRecord(makeRecord(body), trust.governanceKey));
  };
  const attestation = { ...(await trust.files()), nsm };
  const { engine } = await testEngine(t, { folder, attestation, log, enrolment: { readRecord } });
  const waited = lines.find(({ event }) => event === 'engine.unenrolled');
  t.match(waited, { party: 1, address: String(engine.facts.address).toLowerCase() });
});
