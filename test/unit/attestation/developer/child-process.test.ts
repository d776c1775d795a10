import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import { type DeveloperRoot, openDeveloperRoot } from '../../../../attestation/developer/developer-root.ts';
import { type MeasuredProgram, measureProgram } from '../../../../attestation/developer/measure-program.ts';
import { type SoftwareDevice, softwareDevice } from '../../../../attestation/developer/software-device.ts';
import { verifyLiveDocument } from '../../../../attestation/document/index.ts';
import { systemClock } from '../../../../common/clock.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const LINK = join(import.meta.dirname, '../../../../attestation/developer/nsm-link.ts');
const ATTEST = encodeCanonical(new Map([['Attestation', new Map()]]));
const INSTANCE = 'i-00000000000000abc';
const LATER = { nowMs: () => systemClock.nowMs() + 60_000, monotonicMs: () => systemClock.monotonicMs() };

/** The main module of a program that is attested, and says what it got as one line of JSON. */
const MAIN = `
import { readdirSync, readlinkSync } from 'node:fs';
const { openInheritedNsm } = await import(process.env.LINK);
const nsm = openInheritedNsm();
const failed = async (run) => { try { await run(); return 'done'; } catch (error) { return error.code; } };
const charter = new Uint8Array(48).fill(1);
const out = {
  chooses: [await failed(() => nsm.extendPcr(0, charter)), await failed(() => nsm.extendPcr(4, charter))],
  pcr16: Buffer.from(await nsm.extendPcr(16, charter)).toString('hex'),
};
await nsm.lockPcrs(32);
out.locked = await failed(() => nsm.extendPcr(16, charter));
out.document = Buffer.from(await nsm.attest({ nonce: Uint8Array.of(1, 2, 3) })).toString('base64');
out.described = await nsm.describe();
out.seen = JSON.stringify([process.env, process.argv, process.execArgv,
  readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } })]);
console.log(JSON.stringify(out));
`;

interface Report {
  readonly chooses: readonly string[];
  readonly pcr16: string;
  readonly locked: string;
  readonly document: string;
  readonly described: { readonly moduleId: string };
  readonly seen: string;
}

/** A small package whose engine is {@link MAIN}. */
function makeProgram(t: Test): string {
  const root = tempDir(t);
  for (const [path, text] of [
    ['package.json', JSON.stringify({ name: 'program', type: 'module' })],
    ['enclave/main-dev.ts', MAIN],
    ['enclave/rule.ts', 'export const limit = 1;\n'],
  ] as const) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

interface Setup {
  readonly packageRoot: string;
  readonly root: DeveloperRoot;
  readonly program: MeasuredProgram;
  readonly changes: string[][];
  device(): SoftwareDevice;
}

async function setUp(t: Test): Promise<Setup> {
  const packageRoot = makeProgram(t);
  const root = await openDeveloperRoot(tempDir(t), { clock: systemClock });
  const at = { entry: 'enclave/main-dev.ts', nodePath: process.execPath, packageRoot, clock: LATER };
  const program = await measureProgram(at);
  const changes: string[][] = [];
  const onChanged = (files: readonly string[]) => void changes.push([...files]);
  const device = () => softwareDevice({ root, program, instanceId: INSTANCE, clock: systemClock, onChanged });
  return { packageRoot, root, program, changes, device };
}

/** Starts a child as the supervisor does: descriptor 3 a pipe, descriptor 4 its module. */
function start(packageRoot: string, device: SoftwareDevice): { child: ChildProcess; report: Promise<Report> } {
  const child = spawn(process.execPath, [join(packageRoot, 'enclave/main-dev.ts')], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, LINK },
  });
  const socket = child.stdio[4];
  if (!(socket instanceof Duplex)) throw new Error('no socket');
  device.serve(socket);
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const report = new Promise<Report>((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      else reject(new Error(`the child ended with ${code}`));
    });
  });
  return { child, report };
}

const verify = (document: string, { root }: Setup) =>
  verifyLiveDocument(document, { anchor: root.anchor, nowMs: systemClock.nowMs() });

t.test('a child is attested by what was measured before it was started', async (t) => {
  const setup = await setUp(t);
  const device = setup.device();
  const report = await start(setup.packageRoot, device).report;
  const document = await verify(report.document, setup);
  t.equal(document.moduleId, device.moduleId);
  t.match(document.moduleId, /^i-00000000000000abc-enc[0-9a-f]{16}$/);
  t.equal(document.instanceId, INSTANCE);
  t.strictSame(document.nonce, Uint8Array.of(1, 2, 3));
  t.equal(document.pcrs.size, 32, 'the child locked all registers');
  t.equal(Buffer.from(document.pcrs.get(16) ?? []).toString('hex'), report.pcr16);
  for (const [index, value] of setup.program.pcrs) t.strictSame(document.pcrs.get(index), value, `register ${index}`);
  t.strictSame(setup.changes, []);
});

t.test('a child cannot choose what measures it, nor unlock what it locked', async (t) => {
  const setup = await setUp(t);
  const report = await start(setup.packageRoot, setup.device()).report;
  t.strictSame(report.chooses, ['STATE_INVALID', 'STATE_INVALID']);
  t.equal(report.locked, 'STATE_INVALID');
});

t.test('nothing that a child is given holds the root key or leads to it', async (t) => {
  const setup = await setUp(t);
  const report = await start(setup.packageRoot, setup.device()).report;
  const { d = '' } = setup.root.privateKey.export({ format: 'jwk' });
  const scalar = Buffer.from(d, 'base64url');
  t.equal(scalar.byteLength, 48);
  t.notOk(Buffer.from(report.document, 'base64').includes(scalar), 'not the document');
  for (const form of [scalar.toString('hex'), scalar.toString('base64'), d, 'developer-root.key']) {
    t.notOk(report.seen.includes(form), 'not its environment, arguments, or descriptors');
  }
});

t.test('each child has a module of its own', async (t) => {
  const setup = await setUp(t);
  const devices = [setup.device(), setup.device()];
  const reports = await Promise.all(devices.map((device) => start(setup.packageRoot, device).report));
  t.not(reports[0]?.described.moduleId, reports[1]?.described.moduleId, 'two enclaves of one instance');
  t.equal(reports[0]?.pcr16, reports[1]?.pcr16, 'the second found its registers as after boot');
});

t.test('a file edited between measurement and start shows in every document, and is named', async (t) => {
  const setup = await setUp(t);
  writeFileSync(join(setup.packageRoot, 'enclave/rule.ts'), 'export const limit = 9;\n');
  const report = await start(setup.packageRoot, setup.device()).report;
  t.strictSame(setup.changes, [['enclave/rule.ts']]);
  const document = await verify(report.document, setup);
  for (const [index, value] of setup.program.pcrs) {
    const same = Buffer.from(value).equals(document.pcrs.get(index) ?? value);
    t.equal(same, index === 1, `register ${index}: all but Node’s`);
  }
});

t.test('an edit that is taken back before the first document is found all the same', async (t) => {
  const setup = await setUp(t);
  const path = join(setup.packageRoot, 'enclave/rule.ts');
  const good = readFileSync(path);
  const { nsm } = setup.device();
  writeFileSync(path, 'export const limit = 9;\n');
  writeFileSync(path, good);
  await nsm.handle(ATTEST);
  t.strictSame(setup.changes, [['enclave/rule.ts']], 'nobody knows which of the two the process read');
});

t.test('an edit after the first document is not the running process’s', async (t) => {
  const setup = await setUp(t);
  const { nsm } = setup.device();
  const ask = () => nsm.handle(ATTEST);
  await ask();
  writeFileSync(join(setup.packageRoot, 'enclave/rule.ts'), 'export const limit = 9;\n');
  await ask();
  t.strictSame(setup.changes, [], 'a developer may edit while the node runs');
  await setup.device().nsm.handle(ATTEST);
  t.strictSame(setup.changes, [['enclave/rule.ts']], 'but what is started from then on is refused');
});

t.test('a look that fails gives no document, and is tried again', async (t) => {
  const setup = await setUp(t);
  const faults: unknown[] = [];
  let fails = true;
  const { pcrs } = setup.program;
  const program: MeasuredProgram = {
    role: 'engine',
    pcrs,
    files: 0,
    lines: [],
    look: async () => {
      if (fails) throw new Error('disk on fire');
      return { changed: [], pcrs };
    },
    unchanged: async () => true,
  };
  const onFault = (error: unknown) => void faults.push(error);
  const { nsm } = softwareDevice({ root: setup.root, program, instanceId: INSTANCE, clock: systemClock, onFault });
  const ask = async () => (await nsm.handle(ATTEST)).byteLength;
  t.ok((await ask()) < 100, 'an error');
  t.match(faults, [{ message: 'disk on fire' }]);
  fails = false;
  t.ok((await ask()) > 3000, 'a document');
});

t.test('a child that is killed leaves the supervisor unharmed', async (t) => {
  const setup = await setUp(t);
  const device = setup.device();
  const { child, report } = start(setup.packageRoot, device);
  child.kill('SIGKILL');
  await t.rejects(report);
  t.ok((await device.nsm.handle(ATTEST)).byteLength > 3000);
});
