/** The `node.json` of a party that runs nowhere. */
import type { NodeFile } from '../../../../parent/cli/supervise/node-file.ts';

/** See the file comment. */
export const PARTY_FILE: NodeFile = {
  pid: 1,
  clientUrl: 'http://127.0.0.1:1',
  publicUrl: 'http://127.0.0.1:1/kms/PUB-p1',
  opsUrl: 'http://127.0.0.1:1',
  params: 'test',
  engineSocket: '/nowhere/engine.sock',
  startedAt: '2026-06-01T00:00:00.000Z',
  version: '1.0.0',
  developerMode: true,
  authorizationPolicy: 'operator-trusted',
  address: '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C',
  network: 'dev:00',
  release: '1.0.0+dev',
};
