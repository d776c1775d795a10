/**
 * A stand-in for AWS's `nitro-cli`: the same commands, answers and error codes, as its sources and documents have them.
 *
 * `node fake-nitro-cli.ts FOLDER COMMAND …`: FOLDER keeps `calls.jsonl` (all arguments), `enclaves.json`, and what a test puts
 * there: `fail-COMMAND` (words on standard error), `enclave` (the module that plays the enclave, started with the folder as
 * its argument; without it an enclave is a process that waits).
 */
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** An enclave that runs, as `describe-enclaves` shows it. */
interface Enclave {
  readonly EnclaveName: string;
  readonly EnclaveID: string;
  readonly ProcessID: number;
  readonly EnclaveCID: number;
  readonly NumberOfCPUs: number;
  readonly CPUIDs: readonly number[];
  readonly MemoryMiB: number;
  readonly State: string;
  readonly Flags: string;
}

/** Writes a program into a folder that calls this module; returns its path. */
export function writeFakeNitroCli(folder: string): string {
  const program = join(folder, 'nitro-cli');
  writeFileSync(
    program,
    `#!/bin/sh\nexec '${process.execPath}' '${fileURLToPath(import.meta.url)}' '${folder}' "$@"\n`,
  );
  chmodSync(program, 0o755);
  return program;
}

/** Returns the arguments of all calls so far. */
export function fakeNitroCalls(folder: string): readonly (readonly string[])[] {
  const path = join(folder, 'calls.jsonl');
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  return lines.map((line) => JSON.parse(line));
}

/** Returns the enclaves whose process is alive. */
export function fakeEnclaves(folder: string): readonly Enclave[] {
  const path = join(folder, 'enclaves.json');
  const known: readonly Enclave[] = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [];
  return known.filter(({ ProcessID }) => isAlive(ProcessID));
}

/** Writes the files of a parent instance that has room for one enclave of two CPUs and 1,408 MB, but for the changes. */
export function writeNitroParent(root: string, changes: Readonly<Record<string, string>> = {}): void {
  const files = {
    'dev/nitro_enclaves': '',
    'etc/nitro_enclaves/allocator.yaml': '---\n# memory_mib: 9999\nmemory_mib: 2048\ncpu_count: 2\n',
    'sys/module/nitro_enclaves/parameters/ne_cpus': '1,3\n',
    'sys/devices/system/cpu/smt/active': '1\n',
    'sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages': '192\n',
    'sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages': '1\n',
    'sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages': '300\n',
    ...changes,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A child that ended and was not waited for is no process any more.
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function runEnclave(folder: string, args: readonly string[]): Enclave {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      'eif-path': text,
      memory: text,
      'cpu-count': text,
      'enclave-cid': text,
      'enclave-name': text,
      'debug-mode': { type: 'boolean' },
    },
  });
  const cid = Number(values['enclave-cid']);
  const module = join(folder, 'enclave');
  const script = existsSync(module) ? readFileSync(module, 'utf8').trim() : undefined;
  const command = script === undefined ? ['-e', 'setInterval(() => {}, 60000)'] : [script, folder];
  const child = spawn(process.execPath, command, { detached: true, stdio: 'ignore' });
  child.unref();
  const enclave: Enclave = {
    EnclaveName: values['enclave-name'] ?? '',
    EnclaveID: `i-0123456789abcdef0-enc${String(child.pid).padStart(16, '0')}`,
    ProcessID: child.pid ?? 0,
    EnclaveCID: cid,
    NumberOfCPUs: Number(values['cpu-count']),
    CPUIDs: [1, 3],
    MemoryMiB: Number(values.memory),
    State: 'RUNNING',
    Flags: values['debug-mode'] === true ? 'DEBUG_MODE' : 'NONE',
  };
  writeFileSync(join(folder, 'enclaves.json'), JSON.stringify([...fakeEnclaves(folder), enclave]));
  process.stderr.write(`Start allocating memory...\nStarted enclave with enclave-cid: ${cid}\n`);
  return enclave;
}

function terminate(folder: string, id: string): object {
  const enclave = fakeEnclaves(folder).find(({ EnclaveID }) => EnclaveID === id);
  if (enclave) process.kill(enclave.ProcessID, 'SIGKILL');
  return { EnclaveID: id, Terminated: true };
}

function main(folder: string, args: readonly string[]): void {
  appendFileSync(join(folder, 'calls.jsonl'), `${JSON.stringify(args)}\n`);
  const [command = '', ...rest] = args;
  const fault = join(folder, `fail-${command}`);
  if (existsSync(fault)) {
    process.stderr.write(readFileSync(fault));
    process.exitCode = 1;
    return;
  }
  const answer = (value: object): void => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  if (command === '--version') process.stdout.write('Nitro CLI 1.4.2\n');
  else if (command === 'describe-enclaves') answer(fakeEnclaves(folder));
  else if (command === 'run-enclave') answer(runEnclave(folder, rest));
  else if (command === 'terminate-enclave') answer(terminate(folder, rest[1] ?? ''));
  else process.exitCode = 2;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2] ?? '', process.argv.slice(3));
