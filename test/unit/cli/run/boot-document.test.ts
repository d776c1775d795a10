/** What a parent hands to its enclave of the vault's newest state: what the operator pinned, or its Core has kept, the later. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { formatVaultPoint, writeKeptHead } from '../../../../attestation/node/kept-head.ts';
import { bootDocument } from '../../../../parent/cli/run/boot-document.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { enclaveConfig } from './enclave-toml.ts';

const pointAt = (sequence: number) => ({ sequence, digest: new Uint8Array(48).fill(sequence) });

t.test('the later of what was pinned and what was kept goes into the enclave as its pin', async (t) => {
  const dir = tempDir(t);
  const plain = enclaveConfig({ dir });
  writeFileSync(plain.attestation.charter_path, 'charter');
  const pinned = (pin?: number) =>
    pin === undefined
      ? plain
      : { ...plain, private_vault: { ...plain.private_vault, pin: formatVaultPoint(pointAt(pin)) } };
  const pinIn = async (pin?: number): Promise<string | undefined> =>
    /^pin = "(.*)"$/m.exec((await bootDocument(pinned(pin))).node)?.[1];
  t.equal(await pinIn(), undefined);
  t.equal(await pinIn(4), formatVaultPoint(pointAt(4)));
  await writeKeptHead(plain, pointAt(7));
  t.equal(await pinIn(), formatVaultPoint(pointAt(7)));
  t.equal(await pinIn(4), formatVaultPoint(pointAt(7)));
  t.equal(await pinIn(7), formatVaultPoint(pointAt(7)));
  t.equal(await pinIn(9), formatVaultPoint(pointAt(9)));
});

t.test('a file that was damaged keeps the enclave from starting, by name', async (t) => {
  const dir = tempDir(t);
  const config = enclaveConfig({ dir });
  writeFileSync(config.attestation.charter_path, 'charter');
  writeFileSync(`${config.state.path}.vault-head`, 'nothing');
  await t.rejects(bootDocument(config), { code: 'STATE_INVALID', message: /\.vault-head names no state of a vault/ });
});
