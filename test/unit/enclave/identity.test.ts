/** The node's identity: made once, the same ever after, and described by the published objects. */
import { X509Certificate } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { deriveRequestId, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import {
  DERIVED_SCHEMES,
  decodePublicSigKey,
  decodeTypedVerfKey,
  derivedKeyDigest,
} from '../../../wire/signing-keys.ts';
import { describe, testEngine } from '../../helpers/test-engine.ts';

const contentOf = (info: EngineInfo, type: string, id: string = SIGNING_KEY_ID): Uint8Array =>
  info.identityObjects.find((object) => object.type === type && object.id === id)?.content ?? new Uint8Array();

const textOf = (...args: Parameters<typeof contentOf>) => new TextDecoder().decode(contentOf(...args));

t.test('an engine describes itself with the published identity objects', async (t) => {
  const { link } = await testEngine(t);
  const info = await describe(await link());
  t.same(
    info.identityObjects.map(({ type }) => type),
    ['VerfKey', 'VerfAddress', 'CACert', ...Array(5).fill(['TypedVerfKey', 'TypedVerfAddress']).flat()],
  );
  t.same(decodePublicSigKey(contentOf(info, 'VerfKey')), info.verificationKey);
  t.equal(textOf(info, 'VerfAddress'), formatAddress(info.address));
  t.same(contentOf(info, 'TypedVerfKey'), contentOf(info, 'VerfKey'));
  t.same(contentOf(info, 'TypedVerfAddress'), contentOf(info, 'VerfAddress'));
  for (const scheme of DERIVED_SCHEMES) {
    const id = deriveRequestId(`SIGNING_KEY_ID_${scheme.name}`);
    const key = decodeTypedVerfKey(scheme, contentOf(info, 'TypedVerfKey', id));
    t.equal(textOf(info, 'TypedVerfAddress', id), `0x${toHex(derivedKeyDigest(scheme, key))}`, scheme.name);
  }
  t.equal(info.authorizationPolicy, 'operator-trusted');
  t.ok(info.developerMode);
});

t.test('the CA certificate is self-issued by the node and valid now', async (t) => {
  const { link } = await testEngine(t);
  const info = await describe(await link());
  const certificate = new X509Certificate(textOf(info, 'CACert'));
  t.ok(certificate.verify(certificate.publicKey), 'signed by its own key');
  t.ok(certificate.ca);
  t.equal(certificate.subject, certificate.issuer);
  t.ok(Date.parse(certificate.validFrom) < Date.now() && Date.now() < Date.parse(certificate.validTo));
  const spki = certificate.publicKey.export({ format: 'der', type: 'spki' });
  t.equal(spki.subarray(-64, -32).toString('hex'), toHex(info.verificationKey.subarray(1)), 'key of the node');
});

t.test('a restart keeps all of it, another folder is another node', async (t) => {
  const first = await testEngine(t);
  const before = await describe(await first.link());
  await first.stop();
  const after = await describe(await (await testEngine(t, { folder: first.folder })).link());
  t.same(after, before);
  const other = await describe(await (await testEngine(t)).link());
  t.notSame(other.address, before.address);
});

t.test('a vault that has lost its signing key gets no other one', async (t) => {
  const { folder, stop } = await testEngine(t);
  await stop();
  const key = join(folder, 'private/PRIV/SigningKey');
  renameSync(key, join(folder, 'lost'));
  await t.rejects(testEngine(t, { folder }), {
    code: 'STATE_INVALID',
    message: /holds objects but no SigningKey\/60b7.*: restore it from a backup/,
  });
  t.notOk(existsSync(key), 'and nothing stands in the way of the backup');
});
