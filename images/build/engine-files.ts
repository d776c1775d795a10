/**
 * The files of an engine's image: what is in the two RAM disks, and no more. Paths are agreed with native/init, which
 * starts `/usr/bin/node /app/engine.mjs`.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { KmsError } from '../../common/errors.ts';
import { bundleEngine, type EngineBundle } from './bundle.ts';
import { sha256 } from './digest.ts';
import type { FileOrigin, ImageFile } from './image-files.ts';
import { librariesFor } from './libraries.ts';
import { licenceFile } from './licences.ts';
import { AWS_AUTHORITIES, NODE_PART } from './parts.ts';
import { strippedNode } from './stripped-node.ts';

/** Which engine an image starts. */
export type ImageKind = 'production' | 'test';

/** Main module of each. */
export const MAINS: Readonly<Record<ImageKind, string>> = {
  production: 'enclave/main.ts',
  test: 'enclave/main-test-image.ts',
};

/** Folders of the first RAM disk, where init mounts. */
export const MOUNT_POINTS: readonly string[] = ['dev', 'proc', 'run', 'sys', 'tmp'];

/** What the two RAM disks hold. */
export interface EngineFiles {
  readonly init: ImageFile;
  readonly app: readonly ImageFile[];
  readonly bundle: EngineBundle;
}

/**
 * Collects the files.
 *
 * @param root - The checkout: packages installed, native parts built.
 * @throws {@link KmsError} `PRECONDITION_FAILED` naming the part that is missing or is another than the pinned one.
 */
export async function engineFiles(root: string, kind: ImageKind, version: string): Promise<EngineFiles> {
  const built = async (path: string, from: string, name: string, executable: boolean): Promise<ImageFile> => ({
    path,
    executable,
    data: await readBuilt(join(root, from), `scripts/${name}`),
    origin: { kind: 'source', name: from, version },
  });
  const [init, engine, nitro, node, bundle] = await Promise.all([
    built('init', 'native/init/build/init', 'build-init', true),
    built('app/build/engine.node', 'native/engine/build/engine.node', 'build-native', false),
    built('app/build/nitro.node', 'native/nitro/build/nitro.node', 'build-native', false),
    strippedNode(root),
    bundleEngine({ root, entry: MAINS[kind], version, insecure: kind === 'test' }),
  ]);
  const libraries = await librariesFor([node, engine.data, nitro.data]);
  const ours = (path: string, name: string, data: Uint8Array): ImageFile => ({
    path,
    executable: false,
    data,
    origin: { kind: 'source', name, version },
  });
  const nodeOrigin: FileOrigin = { kind: 'npm', ...NODE_PART };
  return {
    init,
    bundle,
    app: [
      { path: 'usr/bin/node', executable: true, data: node, origin: nodeOrigin },
      ...libraries.files,
      ours('app/engine.mjs', MAINS[kind], bundle.code),
      engine,
      nitro,
      { path: 'etc/ssl/aws-roots.pem', executable: false, data: awsAuthorities(), origin: nodeOrigin },
      ours('app/LICENCES.txt', 'images/build/licences.ts', await licenceFile(root, bundle.packages, libraries)),
    ],
  };
}

async function readBuilt(file: string, script: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new KmsError('PRECONDITION_FAILED', `${file} is not built: run ${script}`, {}, error);
  }
}

/** Certificates out of the Node that runs, which is the pinned one or the build stops before. */
function awsAuthorities(): Uint8Array {
  const found = new Map(rootCertificates.map((pem) => [sha256(new X509Certificate(pem).raw), pem]));
  const texts = Object.entries(AWS_AUTHORITIES).map(([name, digest]) => {
    const pem = found.get(digest);
    if (pem === undefined) throw new KmsError('PRECONDITION_FAILED', `Node does not bring ${name} any more`);
    return `# ${name}\n${pem}\n`;
  });
  return new TextEncoder().encode(texts.join(''));
}
