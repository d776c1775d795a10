/** Certificates from files: bad ones are refused by name, changed ones are taken up, bad changes are not. */
import { chmodSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { type FileTlsSource, openFileTlsSource, type TlsFiles } from '../../../parent/grpc/tls-source.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa, type TestCertificate } from '../../helpers/test-ca.ts';

const ca = makeTestCa();
const DAY_MS = 86_400_000;
const farAhead = { notAfterMs: Date.now() + 30 * DAY_MS };

interface Fixture {
  readonly files: TlsFiles & { readonly clientCaPath: string };
  readonly lines: Record<string, unknown>[];
  write(certificate: TestCertificate): void;
  open(): Promise<FileTlsSource>;
}

function fixture(t: Test): Fixture {
  const dir = tempDir(t);
  const files = { certPath: join(dir, 'cert.pem'), keyPath: join(dir, 'key.pem'), clientCaPath: join(dir, 'ca.pem') };
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({
    name: 'test',
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  writeFileSync(files.clientCaPath, ca.pem);
  return {
    files,
    lines,
    write({ cert, key }) {
      writeFileSync(files.certPath, cert);
      writeFileSync(files.keyPath, key, { mode: 0o600 });
    },
    async open() {
      const source = await openFileTlsSource(files, { clock: systemClock, log, checkEveryMs: 3_600_000 });
      t.teardown(() => source.close());
      return source;
    },
  };
}

t.test('reads what the files hold and says what it serves', async (t) => {
  const { write, open, lines } = fixture(t);
  const leaf = ca.issue({ subject: 'localhost', ...farAhead });
  write(leaf);
  const source = await open();
  t.strictSame(source.current(), { ...leaf, clientCa: ca.pem });
  t.match(lines, [{ level: 'info', event: 'tls.loaded', clientAuthorities: 1 }]);
});

t.test('warns of a certificate that ends soon and of a key that everybody can read', async (t) => {
  const { write, open, lines, files } = fixture(t);
  write(ca.issue({ subject: 'localhost' }));
  chmodSync(files.keyPath, 0o644);
  await open();
  t.match(lines, [
    { level: 'warn', event: 'tls.loaded' },
    { level: 'warn', event: 'tls.key_readable' },
  ]);
});

t.test('refuses what cannot be served, and names the file', async (t) => {
  const leaf = ca.issue({ subject: 'localhost' });
  const other = ca.issue({ subject: 'localhost' });
  const cases: readonly (readonly [string, (f: Fixture) => void, RegExp])[] = [
    ['no certificate', ({ files }) => rmSync(files.certPath), /cert_path: cannot read .*cert\.pem \(ENOENT\)/],
    ['no key', ({ files }) => rmSync(files.keyPath), /key_path: cannot read/],
    [
      'a certificate that is none',
      ({ files }) => writeFileSync(files.certPath, 'x'),
      /cert\.pem holds no PEM certificate/,
    ],
    ['a key that is none', ({ files }) => writeFileSync(files.keyPath, leaf.cert), /key\.pem holds no PEM private key/],
    ['the key of another', ({ files }) => writeFileSync(files.keyPath, other.key), /is not the key of/],
    ['an expired one', ({ write }) => write(ca.issue({ subject: 'x', notAfterMs: Date.now() - 1000 })), /ended on/],
    [
      'one of tomorrow',
      ({ write }) => write(ca.issue({ subject: 'x', notBeforeMs: Date.now() + 60_000 })),
      /begins on/,
    ],
    [
      'a curve that TLS has not',
      ({ write }) => write(ca.issue({ subject: 'x', curve: 'secp256k1' })),
      /TLS 1\.3 is not used/,
    ],
    ['no authority', ({ files }) => writeFileSync(files.clientCaPath, ''), /ca\.pem holds no PEM certificate/],
    ['a leaf as authority', ({ files }) => writeFileSync(files.clientCaPath, leaf.cert), /is no authority/],
    [
      'an authority on a curve that crashes',
      ({ files }) => writeFileSync(files.clientCaPath, ca.pem + makeTestCa('K', 'secp256k1').pem),
      /TLS 1\.3 is not used/,
    ],
  ];
  for (const [why, spoil, message] of cases) {
    const f = fixture(t);
    f.write(leaf);
    spoil(f);
    await t.rejects(f.open(), { code: 'CONFIG_INVALID', message }, why);
  }
});

t.test('takes a changed certificate up, also one that a link points to', async (t) => {
  const { write, open, files } = fixture(t);
  write(ca.issue({ subject: 'localhost' }));
  const source = await open();
  const told: string[] = [];
  source.onChange(({ cert }) => told.push(cert));
  t.equal(await source.check(), false, 'nothing has changed');
  const next = ca.issue({ subject: 'localhost' });
  write(next);
  t.equal(await source.check(), true);
  t.equal(source.current().cert, next.cert);
  const linked = ca.issue({ subject: 'localhost' });
  writeFileSync(`${files.certPath}.1`, linked.cert);
  writeFileSync(`${files.keyPath}.1`, linked.key, { mode: 0o600 });
  symlinkSync(`${files.certPath}.1`, `${files.certPath}.new`);
  symlinkSync(`${files.keyPath}.1`, `${files.keyPath}.new`);
  renameSync(`${files.certPath}.new`, files.certPath);
  renameSync(`${files.keyPath}.new`, files.keyPath);
  t.equal(await source.check(), true);
  t.strictSame(told, [next.cert, linked.cert]);
});

t.test('keeps the old certificate while the new one is no good, and says so once', async (t) => {
  const { write, open, files, lines } = fixture(t);
  const first = ca.issue({ subject: 'localhost', ...farAhead });
  write(first);
  const source = await open();
  const next = ca.issue({ subject: 'localhost', ...farAhead });
  writeFileSync(files.certPath, next.cert);
  t.equal(await source.check(), false, 'the key is still that of the old one');
  t.equal(await source.check(), false);
  t.equal(source.current().cert, first.cert);
  t.strictSame(
    lines.map(({ event }) => event),
    ['tls.loaded', 'tls.refused'],
  );
  write(next);
  t.equal(await source.check(), true, 'until both are there');
  rmSync(files.certPath);
  t.equal(await source.check(), false);
  t.equal(source.current().cert, next.cert, 'removed: the last one stays');
});
