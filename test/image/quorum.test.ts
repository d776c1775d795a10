/**
 * One party of a quorum of four has its engine in an enclave under QEMU; the other three are processes as always. The same
 * image, parent programs and wires as in production, but for the developer root: registers and randomness are the machine's,
 * documents over them are signed beside it.
 *
 * One test after the other, in the order of an operator's day: the enclave comes up, is verified, decrypts, dies and comes back.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeCharter, pcr16Of } from '../../attestation/governance/index.ts';
import { ENCLAVE_PORT } from '../../common/enclave-boot.ts';
import { instanceIdOf } from '../../parent/cli/quorum/quorum-trust.ts';
import {
  type BucketCiphertext,
  decryptAt,
  decryptForUser,
  encryptFromBucket,
  operate,
  VALUE,
} from '../helpers/aws-quorum.ts';
import { buildTestImage, changedImage, expectedRegisters } from '../helpers/enclave-image.ts';
import { enclaveParty } from '../helpers/enclave-party.ts';
import { present } from '../helpers/present.ts';
import { pollFor, startQuorum } from '../helpers/start-quorum.ts';
import { verifyByImage } from '../helpers/verify-by-image.ts';

t.setTimeout(3_000_000);

const image = await buildTestImage('test');
const party = await enclaveParty(t, image);
const quorum = await startQuorum(t, { parties: 4, aws: true, enclaves: new Map([[1, party.engine]]) });
const first = quorum.member(1);
const dir = join(quorum.dir, 'party-1');
/** Encrypted once there is a key, by the test that makes it. */
let ciphertext: BucketCiphertext;
const charter = decodeCharter(readFileSync(join(dir, 'governance', 'charter.cbor')));

/** When a line of a start came, in seconds after it; `undefined` if it did not. */
const secondsTo = (start: number, event: string): string | undefined => {
  const line = party.starts[start]?.find(({ facts }) => facts.event === event);
  return line && (line.atMs / 1000).toFixed(1);
};

/** Waits until a start of the enclave has said something. */
async function said(start: number, event: string): Promise<Readonly<Record<string, unknown>>> {
  for (;;) {
    const line = party.starts[start]?.find(({ facts }) => facts.event === event);
    if (line !== undefined) return line.facts;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

t.test('the engine in the enclave came up, and the four attested each other over vsock', async (t) => {
  const events = ['launcher.started', 'init.booted', 'init.engine', 'engine.booted', 'engine.ready', 'epoch.made'];
  for (const event of events) t.ok(secondsTo(0, event), `${event}: ${secondsTo(0, event)} s after the start`);
  const { peers } = await operate(dir, 'peers');
  const engines = peers.filter(
    ({ role, attested }: { role: string; attested: boolean }) => role === 'engine' && attested,
  );
  t.same(engines.map(({ party: number }: { party: number }) => number).sort(), [1, 2, 3, 4]);
});

t.test('what the enclave attests is what the image measures, computed without booting it', async (t) => {
  const { pcrs } = await operate(dir, 'attest', 'pcrs');
  t.same(pcrs, expectedRegisters(image, instanceIdOf(charter, 1), pcr16Of(charter)));
});

t.test(
  'arca attest verify accepts what the image measures, and not what it measures with one byte changed',
  async (t) => {
    const root = join(quorum.dir, 'governance', 'developer-root.pem');
    await verifyByImage(t, image.image, present(first.node.attestationUrl), root);
  },
);

t.test('public and user decryptions through the client ports, verified by the published client', async (t) => {
  const [result] = await quorum.generateKey();
  ciphertext = await encryptFromBucket(t, quorum, present(result?.requestId?.requestId));
  t.same(await decryptAt(quorum.members, ciphertext), [VALUE, VALUE, VALUE, VALUE]);
  t.same(await decryptForUser(quorum, ciphertext), [VALUE]);
});

t.test('whoever scans its ports or sends garbage is dropped, and the engine goes on', async (t) => {
  const { vsock } = party.running();
  await t.rejects(vsock.connect(12_345), { code: 'UNAVAILABLE' }, 'nobody listens elsewhere');
  for (const port of [ENCLAVE_PORT.core, ENCLAVE_PORT.mesh]) {
    const socket = await vsock.connect(port);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined).resume();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await closed;
  }
  t.same(await decryptAt(quorum.members, ciphertext), [VALUE, VALUE, VALUE, VALUE]);
});

t.test('an enclave that is killed at work is started again, and nothing is lost', async (t) => {
  const others = quorum.members.slice(1);
  const before = ciphertext.newRequest();
  const [answer] = await Promise.all(
    quorum.members.map(({ client }) => pollFor(() => client.call('PublicDecryptSync', before))),
  );
  const underWay = ciphertext.newRequest();
  await first.client.call('PublicDecrypt', underWay);
  await party.running().stop();
  await Promise.all(others.map(({ client }) => client.call('PublicDecrypt', underWay)));
  t.same(await decryptAt(others, ciphertext), [VALUE, VALUE, VALUE], 'the others decrypt meanwhile');
  await said(1, 'engine.ready');
  const result = async ({ requestId }: typeof before) =>
    await pollFor(() => first.client.call('GetPublicDecryptionResult', present(requestId)));
  t.same((await result(before)).payload, present(answer).payload, 'what was answered is kept');
  t.ok((await result(underWay)).payload, 'what was under way is answered');
  t.same(await decryptAt(quorum.members, ciphertext), [VALUE, VALUE, VALUE, VALUE], 'with all four again');
  t.same(await decryptForUser(quorum, ciphertext), [VALUE]);
});

t.test('an image with one byte changed opens no vault and is no peer', async (t) => {
  party.replaceImage(changedImage(image.image));
  await party.running().stop();
  const last = await said(2, 'init.exit');
  t.match(last.reason, /does not list this engine/);
  t.not(last.status, 0);
  t.notOk(secondsTo(2, 'engine.ready'), 'it never served');
  party.replaceImage(image.image);
  await said(party.starts.length, 'engine.ready');
  t.same(await decryptAt(quorum.members, ciphertext), [VALUE, VALUE, VALUE, VALUE], 'the right image serves again');
});
