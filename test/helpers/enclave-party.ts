/**
 * A party of a test's quorum whose engine runs in an enclave under QEMU: the launcher's own parts around it, TLS before the
 * emulators of AWS, which ends inside, and a record of what was said when.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeConfig } from '../../common/node-config.ts';
import type { EnclaveBackend, RunningEnclave } from '../../images/boot/backend.ts';
import { qemuBackend } from '../../images/boot/qemu.ts';
import type { EnclaveEngine } from '../../parent/cli/quorum/running-quorum.ts';
import { bootDocument } from '../../parent/cli/run/boot-document.ts';
import { enclaveProgram } from '../../parent/cli/run/enclave-program.ts';
import { allowedDestinations, proxyTable } from '../../parent/cli/run/proxy-routes.ts';
import { parseLogLine } from '../../parent/cli/supervise/child.ts';
import { PARENT_ROLE, type TestImage } from './enclave-image.ts';
import { present } from './present.ts';
import { type Teardown, tempDir } from './temp-dir.ts';
import { makeTestCa } from './test-ca.ts';
import { tlsFront } from './tls-front.ts';

/** A line of an enclave, and when it came after the start of its machine. */
export interface TimedLine {
  readonly atMs: number;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** See the file comment. */
export interface EnclaveParty {
  /** For `startQuorum`. */
  readonly engine: EnclaveEngine;
  /** One list for each start. */
  readonly starts: readonly TimedLine[][];
  /** The enclave that runs now. */
  running(): RunningEnclave;
  /** The next start boots another image. */
  replaceImage(image: Uint8Array): void;
}

const MEMORY_MB = 1536;

/** Prepares a party; its enclave boots when the quorum starts it. */
export async function enclaveParty(t: Teardown, { image, pcrs }: TestImage): Promise<EnclaveParty> {
  const folder = tempDir(t);
  const imagePath = join(folder, 'engine.eif');
  writeFileSync(imagePath, image);
  const ca = makeTestCa('AWS of this test');
  const authorities = join(folder, 'authorities.pem');
  writeFileSync(authorities, ca.pem);
  const fronts = new Map<string, Promise<string>>();
  const front = (url: string): Promise<string> => {
    const known = fronts.get(url) ?? tlsFront(t, ca, url);
    fronts.set(url, known);
    return known;
  };
  const starts: TimedLine[][] = [];
  const machines: RunningEnclave[] = [];
  const backendOn = (instanceId: string): EnclaveBackend => {
    const qemu = qemuBackend({ parentRole: PARENT_ROLE, parentId: instanceId });
    return {
      ...qemu,
      start: async (start) => {
        const machine = await qemu.start(start);
        machines.push(machine);
        return machine;
      },
    };
  };

  /** The node's configuration as its enclave is to have it. */
  const inside = async (config: NodeConfig): Promise<NodeConfig> => {
    const { aws } = config;
    const s3 = aws?.developer_s3_endpoint;
    const kms = aws?.developer_kms_endpoint;
    if (aws === undefined || s3 === undefined || kms === undefined) throw new Error('the quorum has no emulated AWS');
    const endpoints = { developer_s3_endpoint: await front(s3), developer_kms_endpoint: await front(kms) };
    return {
      ...config,
      aws: { ...aws, ...endpoints },
      enclave: {
        image_path: imagePath,
        backend: 'qemu',
        cpus: 2,
        cid: 16,
        egress: [],
        developer_authorities_path: authorities,
      },
    };
  };

  const start: EnclaveEngine['start'] =
    ({ config, root, instanceId }) =>
    (onLine) => {
      const begun = performance.now();
      const lines: TimedLine[] = [];
      starts.push(lines);
      const program = enclaveProgram({
        backend: backendOn(instanceId),
        folder: join(folder, 'run'),
        image: imagePath,
        memoryMb: MEMORY_MB,
        cpus: 2,
        debug: false,
        document: async () => await bootDocument(await inside(config)),
        routes: async (vsock) => {
          const own = await inside(config);
          return proxyTable(own, vsock, await allowedDestinations(own));
        },
        developerRoot: root,
      });
      return program.start((line) => {
        lines.push({ atMs: performance.now() - begun, facts: parseLogLine(line) ?? { text: line } });
        onLine(line);
      });
    };
  return {
    engine: { pcrs, start },
    starts,
    running: () => present(machines.at(-1)),
    replaceImage: (other) => writeFileSync(imagePath, other),
  };
}
