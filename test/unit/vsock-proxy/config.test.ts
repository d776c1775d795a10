/**
 * The configuration file: what it takes, and that every fault is named at once.
 */
import t from 'tap';
import { parseConfig } from '../../../common/config.ts';
import { isKmsError } from '../../../common/errors.ts';
import { ProxyConfig, vsockPlace } from '../../../vsock-proxy/config.ts';

const parse = (text: string) => parseConfig(ProxyConfig, { text, env: {}, name: 'proxy.toml' });

const GOOD = `
[vsock]
cid = 16

[[route]]
name = "core"
from = "unix:/run/arca/engine.sock"
to = "vsock:7100"

[[route]]
name = "egress"
from = "vsock:7002"
to = "connect"
allow = ["kms.eu-west-1.amazonaws.com:443", "*.s3.eu-west-1.amazonaws.com:443"]
`;

function faultsOf(text: string): string {
  try {
    parse(text);
    return '';
  } catch (error) {
    if (!isKmsError(error, 'CONFIG_INVALID')) throw error;
    return error.message;
  }
}

t.test('a file with routes is taken, with limits where it says none', async (t) => {
  const config = parse(GOOD);
  t.same(vsockPlace(config), { cid: 16 });
  t.same(config.route[0], {
    name: 'core',
    from: 'unix:/run/arca/engine.sock',
    to: 'vsock:7100',
    allow: [],
    max_connections: 1024,
    max_per_source: 64,
    connect_timeout_ms: 10_000,
    idle_timeout_ms: 600_000,
  });
  t.same(vsockPlace(parse(GOOD.replace('cid = 16', 'path = "/tmp/vm"'))), { path: '/tmp/vm' });
});

t.test('what a file may not say is named', async (t) => {
  for (const [why, text, fault] of [
    ['no enclave', GOOD.replace('cid = 16', ''), /needs either cid or path/],
    ['two enclaves', GOOD.replace('cid = 16', 'cid = 16\npath = "/tmp/vm"'), /needs either cid or path/],
    ['a way around the enclave', GOOD.replace('vsock:7100', 'tcp:10.0.0.1:80'), /not both, needs to be vsock/],
    ['vsock to vsock', GOOD.replace('unix:/run/arca/engine.sock', 'vsock:1'), /not both, needs to be vsock/],
    ['anything for everybody', GOOD.replace(/allow = .*/, ''), /needs entries if to = "connect"/],
    ['a star alone', GOOD.replace('kms.eu-west-1.amazonaws.com:443', '*:443'), /needs host:port or/],
    [
      'a list that means nothing',
      GOOD.replace('"vsock:7100"', '"vsock:7100"\nallow = ["a.example:1"]'),
      /none otherwise/,
    ],
    ['a beginning that is none', GOOD.replace('vsock:7002', 'connect'), /needs unix:\/path, tcp/],
    ['the same name twice', GOOD.replace('"egress"', '"core"'), /repeats a name/],
    [
      'the same beginning twice',
      `${GOOD}\n[[route]]\nname = "more"\nfrom = "vsock:7002"\nto = "tcp:a:1"`,
      /repeats a from/,
    ],
    ['a name for humans', GOOD.replace('"core"', '"The Core"'), /small letters/],
    ['a misspelt key', GOOD.replace('allow =', 'allows ='), /unknown key/],
    ['no route', '[vsock]\ncid = 16\n', /route/],
    ['no limit', GOOD.replace('to = "vsock:7100"', 'to = "vsock:7100"\nmax_connections = 0'), /needs 1 to 65536/],
  ] as const) {
    t.match(faultsOf(text), fault, why);
  }
});

t.test('all faults are named at once', async (t) => {
  const message = faultsOf(
    GOOD.replace('"core"', '"The Core"').replace('vsock:7002', 'udp:1').replace('cid = 16', 'cid = 0'),
  );
  t.match(message, /3 faults|4 faults/);
});
