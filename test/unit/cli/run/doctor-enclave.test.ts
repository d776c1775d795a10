/** What `arca doctor` says of the way from an enclave to AWS: each step names its own fault. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import t from 'tap';
import type { NodeConfig } from '../../../../common/node-config.ts';
import { ENCLAVE_CHECKS, type EnclaveFindings } from '../../../../parent/cli/doctor/enclave-checks.ts';
import { enclaveFolder } from '../../../../parent/cli/run/node-enclave.ts';
import { freePorts } from '../../../helpers/free-port.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';
import { makeTestCa } from '../../../helpers/test-ca.ts';
import { enclaveConfig } from './enclave-toml.ts';

/** Runs one check by its name. */
async function check(name: string, findings: EnclaveFindings): Promise<string> {
  const found = ENCLAVE_CHECKS.find((step) => step.name === name);
  if (!found) throw new Error(`there is no check ${name}`);
  return await found.run(findings);
}

const configOf = (dir: string, s3: string, enclave = ''): NodeConfig =>
  enclaveConfig({
    dir,
    top: 'developer_mode = true',
    aws: `developer_access_key_id = "a"\ndeveloper_secret_access_key = "b"\ndeveloper_s3_endpoint = "${s3}"`,
    attestation: `developer_root_path = "${dir}/root.pem"`,
    enclave,
  });

async function listen(t: Teardown, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

t.test('a name that nobody knows is named', async (t) => {
  const dir = tempDir(t);
  const config = configOf(dir, 'https://s3.example:9100');
  const asked: string[] = [];
  const findings = { config, dir, isRunning: false };
  const known = await check('DNS', {
    ...findings,
    lookup: async (name) => {
      asked.push(name);
      return { address: '192.0.2.1' };
    },
  });
  t.same([known, asked], ['1 names are known', ['s3.example']]);
  const unknown = () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' }));
  await t.rejects(check('DNS', { ...findings, lookup: unknown }), {
    code: 'UNAVAILABLE',
    message: 'the name s3.example cannot be looked up: ENOTFOUND',
    facts: { cure: /resolver/ },
  });
});

t.test('a proxy that runs has to allow what configuration and record ask for', async (t) => {
  const dir = tempDir(t);
  const config = configOf(dir, 'https://s3.example:9100', 'egress = ["more.example:443"]');
  t.equal(await check('allow-list', { config, dir, isRunning: false }), '2 destinations will be allowed');
  const folder = await enclaveFolder(dir);
  mkdirSync(folder);
  const routes = (allow: string) =>
    `[vsock]\ncid = 16\n[[route]]\nname = "egress"\nfrom = "vsock:7002"\nto = "connect"\nallow = [${allow}]\n`;
  writeFileSync(join(folder, 'vsock-proxy.toml'), routes('"s3.example:9100"'));
  const running = { config, dir, isRunning: true };
  await t.rejects(check('allow-list', running), {
    code: 'STATE_INVALID',
    message: 'vsock-proxy does not let the engine reach more.example:443',
  });
  writeFileSync(join(folder, 'vsock-proxy.toml'), routes('"s3.example:9100", "more.example:443"'));
  t.equal(await check('allow-list', running), '2 destinations are allowed');
});

t.test('a destination that does not answer is named with the cure', async (t) => {
  const dir = tempDir(t);
  const port = await listen(
    t,
    createServer((socket) => socket.destroy()),
  );
  const [closed = 0] = await freePorts(1);
  const findings = (to: number) => ({ config: configOf(dir, `https://127.0.0.1:${to}`), dir, isRunning: false });
  t.equal(await check('TCP', findings(port)), '1 answer');
  await t.rejects(check('TCP', findings(closed)), {
    code: 'UNAVAILABLE',
    message: `127.0.0.1:${closed} cannot be reached: ECONNREFUSED`,
    facts: { cure: /security group/ },
  });
});

t.test('whoever ends TLS on the way has no certificate that holds', async (t) => {
  const dir = tempDir(t);
  const [ca, inspecting] = [makeTestCa(), makeTestCa('Inspecting CA')];
  const path = join(dir, 'ca.pem');
  writeFileSync(path, ca.pem);
  const tlsPort = async (authority: typeof ca): Promise<number> =>
    await listen(
      t,
      createTlsServer(authority.issue({ subject: 'localhost' })).on('tlsClientError', () => {}),
    );
  const findings = (port: number) => {
    const more = `developer_authorities_path = "${path}"`;
    return { config: configOf(dir, `https://localhost:${port}`, more), dir, isRunning: false };
  };
  t.equal(await check('TLS', findings(await tlsPort(ca))), '1 certificates hold');
  await t.rejects(check('TLS', findings(await tlsPort(inspecting))), {
    code: 'UNAVAILABLE',
    message: /^TLS with localhost:\d+ fails: /,
    facts: { cure: /inspecting/ },
  });
});

t.test('what the machine lacks is told before anything else', async (t) => {
  const dir = tempDir(t);
  const findings = { config: configOf(dir, 'https://localhost:1'), dir, isRunning: false };
  t.equal(ENCLAVE_CHECKS[0]?.name, 'parent instance');
  await t.rejects(check('parent instance', findings), {
    code: 'PRECONDITION_FAILED',
    message: /image: .*cannot be read/,
  });
});
