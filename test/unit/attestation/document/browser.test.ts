/** The library runs where there is no Node: bundled for browsers, in a context that has the web's globals alone. */
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import t from 'tap';
import { FORGED_AT_MS, makeForge } from '../../../helpers/forge-document.ts';

const ENTRY = new URL('../../../../attestation/document/index.ts', import.meta.url).pathname;

const bundle = async () =>
  build({
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'attestation',
    minify: true,
    metafile: true,
  });

t.test('it bundles for browsers without a module of Node’s', async (t) => {
  const { metafile, outputFiles } = await bundle();
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  t.same(
    imports.filter(({ path, external }) => external === true || path.startsWith('node:')),
    [],
  );
  const [file] = outputFiles;
  t.ok(file && file.contents.length < 64 * 1024, `${file?.contents.length} bytes, at most 64 KiB`);
});

t.test('it verifies a document with nothing but the web’s globals', async (t) => {
  const [file] = (await bundle()).outputFiles;
  const forge = makeForge();
  const context = createContext({
    crypto: globalThis.crypto,
    TextEncoder,
    TextDecoder,
    atob,
    input: Buffer.from(forge.document()).toString('base64'),
    bad: Buffer.from(makeForge().document()).toString('base64'),
    anchorBytes: [...forge.anchor.certificate],
    nowMs: FORGED_AT_MS,
  });
  t.equal(runInContext('typeof process + typeof Buffer + typeof require', context), 'undefined'.repeat(3));
  runInContext(file?.text ?? '', context);
  const verify = (input: string) =>
    runInContext(
      `attestation.verifyLiveDocument(${input}, { anchor: { name: 'dev', certificate: Uint8Array.from(anchorBytes) }, nowMs })
        .then((document) => document.moduleId + ' ' + document.pcrs.size, (error) => error.code)`,
      context,
    );
  t.equal(await verify('input'), 'i-0123456789abcdef0-enc0123456789abcdef 16');
  t.equal(await verify('bad'), 'ATTESTATION_INVALID');
});
