/** What an engine takes from its parent at the start, and what it refuses. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeDeveloperRoot } from '../../../../attestation/developer/chain.ts';
import { readDeveloperAnchor, readNodeFiles } from '../../../../attestation/node/node-files.ts';
import { type BootDocument, encodeBootDocument, PARENT_PORT } from '../../../../common/enclave-boot.ts';
import { KmsError } from '../../../../common/errors.ts';
import { boot } from '../../../../enclave/boot/boot.ts';
import { bootConfig } from '../../../../enclave/boot/boot-config.ts';
import { fetchBootDocument } from '../../../../enclave/boot/fetch-boot-document.ts';
import { writeExitReason, writeMemoryNeed } from '../../../../enclave/boot/last-words.ts';
import { readParentCid } from '../../../../enclave/boot/parent-link.ts';
import { fakeParent, withLength } from '../../../helpers/fake-parent.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const NODE = `
[aws]
region = "eu-west-1"
instance_role = true
role_arn = "arn:aws:iam::123456789012:role/arca"
[public_vault.storage.s3]
bucket = "public"
[private_vault.storage.s3]
bucket = "private"
[private_vault.keychain.aws_kms]
[threshold]
round_timeout_secs = 30
`;
const document: BootDocument = { node: NODE, charter: Uint8Array.of(1), record: Uint8Array.of(2) };
const root = makeDeveloperRoot({ nowMs: 1_800_000_000_000 });

t.test('what the parent may choose is taken, the rest are constants of the image', async (t) => {
  const config = bootConfig(NODE, 'production', '/run/arca');
  t.match(config, {
    developer_mode: false,
    threshold: { round_timeout_secs: 30 },
    private_vault: { storage: { s3: { bucket: 'private' } } },
    engine: { socket_path: '/run/arca/none', treat_v0_extra_data_as_empty: false },
    attestation: { charter_path: '/run/arca/charter.cbor', record_path: '/run/arca/record.cbor' },
  });
});

t.test('a key that is not the parent’s to choose is refused by name, all of them at once', async (t) => {
  const refused = (more: string, message: RegExp, image: 'production' | 'test' = 'production'): void => {
    t.throws(() => bootConfig(more + NODE, image, '/run/arca'), { code: 'CONFIG_INVALID', message }, more);
  };
  refused('developer_mode = true', /may not choose developer_mode:/);
  refused(
    'attestation.charter_path = "/x"\nengine.socket_path = "/y"',
    /attestation\.charter_path, engine\.socket_path/,
  );
  refused('attestation.developer_root_path = "/x"', /attestation\.developer_root_path/, 'test');
  refused('attestation.developer_governance_key_path = "/x"', /developer_governance_key_path/, 'test');
  refused('backup_vault.keychain.clear = {}', /backup_vault\.keychain\.clear/, 'test');
  refused('telemetry.log_level = "chatty"', /telemetry\.log_level: needs one of/);
  refused('threshold = 1', /./);
  refused('no toml', /not valid TOML/);
  const many = Array.from({ length: 20 }, (_, index) => `x${index} = 1`).join('\n');
  refused(many, /x0, x1, x2, x3, x4, x5, x6, x7 and 12 more/);
  t.throws(
    () => bootConfig('', 'production', '/run/arca'),
    { message: /private_vault/ },
    'what is missing is told too',
  );
});

t.test('a document is fetched whole, whatever its pieces', async (t) => {
  const parent = fakeParent(t);
  const wire = encodeBootDocument(document);
  await parent.serve(PARENT_PORT.boot, (socket) => {
    let at = 0;
    const next = (): void => {
      if (at < wire.byteLength) socket.write(wire.subarray(at, ++at), next);
      else socket.end();
    };
    next();
  });
  t.same(await fetchBootDocument(parent.link), document);
});

t.test('a document that is wrong is asked for once, one that breaks off three times', async (t) => {
  const short = encodeBootDocument(document).subarray(0, 20);
  for (const [why, bytes, code, dials] of [
    ['too long', withLength(document), 'REQUEST_INVALID', 1],
    ['empty', withLength(document, 0), 'REQUEST_INVALID', 1],
    ['bytes behind it', Buffer.concat([encodeBootDocument(document), Buffer.from('x')]), 'REQUEST_INVALID', 1],
    ['no JSON', Uint8Array.of(0, 0, 0, 1, 0x7b), 'REQUEST_INVALID', 1],
    ['cut', short, 'UNAVAILABLE', 3],
    ['nothing', new Uint8Array(0), 'UNAVAILABLE', 3],
  ] as const) {
    const parent = fakeParent(t);
    await parent.serveBoot(() => bytes);
    await t.rejects(fetchBootDocument(parent.link), { code }, why);
    t.equal(parent.dials.length, dials, why);
  }
  const nobody = fakeParent(t);
  await t.rejects(fetchBootDocument(nobody.link), { code: 'UNAVAILABLE' }, 'nobody there');
});

t.test('a parent that says nothing is given up', async (t) => {
  const parent = fakeParent(t);
  const patience = new AbortController();
  await parent.serve(PARENT_PORT.boot, () => patience.abort());
  await t.rejects(fetchBootDocument(parent.link, () => patience.signal));
  t.equal(parent.dials.length, 3);
});

t.test('the parts lie where the engine reads them, and newer ones take their place', async (t) => {
  const folder = tempDir(t);
  const parent = fakeParent(t);
  let served: BootDocument = document;
  let isAway = false;
  await parent.serveBoot(() => (isAway ? new Uint8Array(0) : encodeBootDocument(served)));
  const booted = await boot({ image: 'production', parent: parent.link, folder, imageFolders: [folder] });
  t.same([...readFileSync(join(folder, 'charter.cbor'))], [1]);
  t.same([...readFileSync(join(folder, 'record.cbor'))], [2]);
  t.notOk(existsSync(join(folder, 'releases.cbor')));
  t.match(readFileSync(join(folder, 'need-mb'), 'utf8'), /^\d{4}$/);
  served = { node: 'developer_mode = true', charter: Uint8Array.of(9), releases: Uint8Array.of(3) };
  await booted.refresh();
  t.same([...readFileSync(join(folder, 'releases.cbor'))], [3]);
  t.notOk(existsSync(join(folder, 'record.cbor')), 'a parent may take a record away; the vault remembers');
  t.same([...readFileSync(join(folder, 'charter.cbor'))], [1], 'a charter is for a whole life');
  isAway = true;
  await booted.refresh();
  t.same([...readFileSync(join(folder, 'releases.cbor'))], [3], 'a parent that gives none takes none');
  const anchor = { name: 'test root', certificate: root.certificate };
  await t.rejects(readNodeFiles(booted.config, anchor), { code: 'CONFIG_INVALID' }, 'it is judged when it is read');
});

t.test('a production image takes no root from anybody, a test image none but its own', async (t) => {
  const developer = { root: root.certificate, authorities: '' };
  const start = async (image: 'production' | 'test', sent: BootDocument) => {
    const folder = tempDir(t);
    const parent = fakeParent(t);
    await parent.serveBoot(() => encodeBootDocument(sent));
    return await boot({ image, parent: parent.link, folder, imageFolders: [] });
  };
  await t.rejects(start('production', { ...document, developer }), {
    code: 'REQUEST_INVALID',
    message: /developer: the root of this image is a constant/,
  });
  await t.rejects(start('test', document), { code: 'REQUEST_INVALID', message: /developer is missing/ });
  await t.rejects(start('test', { ...document, developer }), { message: /developer_mode = true/ });
  const node = `developer_mode = true\n${NODE}`;
  await t.rejects(start('production', { ...document, node }), { message: /may not choose developer_mode/ });
  const broken = { ...developer, root: Uint8Array.of(1) };
  await t.rejects(start('test', { ...document, node, developer: broken }), { message: /no certificate/ });
  const { config } = await start('test', { ...document, node, developer });
  t.same((await readDeveloperAnchor(config)).certificate, root.certificate);
});

t.test('the context id of the parent is what init wrote, or the usual one', async (t) => {
  const folder = tempDir(t);
  t.equal(await readParentCid(folder), 3);
  for (const [text, cid] of [
    ['2\n', 2],
    ['4294967294\n', 4_294_967_294],
  ] as const) {
    writeFileSync(join(folder, 'parent-cid'), text);
    t.equal(await readParentCid(folder), cid);
  }
  for (const text of ['', '1\n', '4294967295\n', '-3\n', '3 4\n', 'x']) {
    writeFileSync(join(folder, 'parent-cid'), text);
    await t.rejects(readParentCid(folder), { code: 'STATE_INVALID' }, JSON.stringify(text));
  }
});

t.test('last words name an expected failure, and nothing of a bug', async (t) => {
  const folder = tempDir(t);
  const words = (error: unknown): string => {
    writeExitReason(folder, error);
    return readFileSync(join(folder, 'exit-reason'), 'utf8');
  };
  t.equal(words(new KmsError('CONFIG_INVALID', 'needs aws_kms')), 'CONFIG_INVALID: needs aws_kms');
  t.equal(words(new Error('secret')), 'INTERNAL: the engine failed');
  t.equal(words(new KmsError('INTERNAL', 'ä'.repeat(2000))).length, 10 + 495);
  t.doesNotThrow(() => writeExitReason(join(folder, 'nowhere'), new Error()));
  writeFileSync(join(folder, 'large'), new Uint8Array(32 * 1024 * 1024));
  t.ok(writeMemoryNeed(folder, true, [folder]) > writeMemoryNeed(folder, true, []), 'an image counts');
});
