/** A node of `arca run` whose enclave is a test image under QEMU, with AWS emulated behind TLS of the test's own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildTestImage } from './enclave-image.ts';
import { enclaveNode } from './enclave-node.ts';
import { QUIET } from './quiet-output.ts';
import { type Teardown, tempDir } from './temp-dir.ts';
import { makeTestCa } from './test-ca.ts';
import { tlsFront } from './tls-front.ts';

/** Writes what the launcher reads, and starts the emulators. */
export async function qemuNode(t: Teardown) {
  const folder = tempDir(t);
  const { image, pcrs } = await buildTestImage('test');
  const [imagePath, authorities] = [join(folder, 'engine.eif'), join(folder, 'authorities.pem')];
  writeFileSync(imagePath, image);
  const ca = makeTestCa('AWS of this test');
  writeFileSync(authorities, ca.pem);
  const enclave = `image_path = "${imagePath}"\nbackend = "qemu"\ndeveloper_authorities_path = "${authorities}"`;
  const node = await enclaveNode(t, { pcrs, enclave, front: (url) => tlsFront(t, ca, url) }, QUIET);
  return { ...node, image, pcrs };
}
