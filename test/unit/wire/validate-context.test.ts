/** Structural checks of the requests that manage contexts, epochs and custodians. */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import {
  CustodianRecoveryRequestSchema,
  NewCustodianContextRequestSchema,
  NewMpcContextRequestSchema,
  NewMpcEpochRequestSchema,
  type SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { parseNewMpcContext, parseNewMpcEpoch } from '../../../wire/validate/context.ts';
import { parseCustodianBackupRecovery, parseNewCustodianContext } from '../../../wire/validate/custodian.ts';
import { refuses } from '../../helpers/refuses.ts';
import { D0, type Fields, idOf } from '../../helpers/requests.ts';

const id = (n: number): { requestId: string } => ({ requestId: idOf(n) });
const zero = { requestId: '0'.repeat(64) };
const unknown = 99 as SigningSchemeType;

t.test('a context keeps the rules on parties, urls, addresses and versions', async (t) => {
  const node = { mpcIdentity: 'a', partyId: 1, externalUrl: 'http://a.example:50001', publicStorageUrl: 'http://s' };
  const base = { contextId: id(1), mpcNodes: [node], softwareVersion: '0.15.0', threshold: 0 };
  const parse = (more: object = {}) =>
    parseNewMpcContext(create(NewMpcContextRequestSchema, { newContext: { ...base, ...more } }));
  const withNode = (more: object) => () => parse({ mpcNodes: [{ ...node, ...more }] });
  t.match(parse(), { contextId: idOf(1), threshold: 0, softwareVersion: { major: 0, minor: 15, patch: 0 } });
  const four = [1, 2, 3, 4].map((n) => ({ ...node, partyId: n, mpcIdentity: `party ${n}` }));
  t.equal(parse({ mpcNodes: four, threshold: 1 }).nodes.length, 4);
  for (const [version, wanted] of [
    ['1', { major: 1, minor: 0, patch: 0 }],
    ['v1.2', { major: 1, minor: 2, patch: 0 }],
    ['v.1.2.3-rc.1', { major: 1, minor: 2, patch: 3, tag: 'rc.1' }],
  ] as const) {
    t.same(parse({ softwareVersion: version }).softwareVersion, wanted, version);
  }
  refuses(t, 'new_context', () => parseNewMpcContext(create(NewMpcContextRequestSchema, {})));
  refuses(t, 'context_id', () => parse({ contextId: zero }));
  refuses(t, 'mpc_nodes', () => parse({ mpcNodes: [] }));
  for (const threshold of [1, -1]) refuses(t, 'threshold', () => parse({ threshold }), `one node and ${threshold}`);
  refuses(t, 'threshold', () => parse({ mpcNodes: four, threshold: 2 }));
  refuses(t, 'threshold', () => parse({ mpcNodes: four, threshold: 0 }));
  refuses(t, 'party_id', withNode({ partyId: 0 }));
  refuses(t, 'party_id', withNode({ partyId: 2 }));
  refuses(t, 'party_id', () => parse({ mpcNodes: four.map((n) => ({ ...n, partyId: 1 })), threshold: 1 }));
  refuses(t, 'mpc_identity', () => parse({ mpcNodes: four.map((n) => ({ ...n, mpcIdentity: 'a' })), threshold: 1 }));
  for (const url of ['', 'a.example:1', 'http://a.example', 'http://:1', 'http://a.example:99999', 'http://[::1]']) {
    refuses(t, 'external_url', withNode({ externalUrl: url }), `url ${url}`);
  }
  for (const url of ['https://a.example:443/x', 'http://u@[::1]:80', 'tcp://10.0.0.1:5'])
    t.ok(withNode({ externalUrl: url })(), url);
  refuses(t, 'ca_cert', withNode({ caCert: Uint8Array.of(1) }));
  refuses(t, 'signer_address', withNode({ signerAddress: new Uint8Array(19) }));
  refuses(t, 'extra_signer_addresses', withNode({ extraSignerAddresses: [new Uint8Array(21)] }));
  refuses(t, 'scheme_digests', withNode({ schemeDigests: [{ scheme: 0, digest: new Uint8Array(32) }] }));
  refuses(t, 'scheme_digests', withNode({ schemeDigests: [{ scheme: unknown, digest: new Uint8Array(32) }] }));
  refuses(
    t,
    'scheme_digests',
    withNode({
      signerAddress: new Uint8Array(20),
      schemeDigests: [{ scheme: 0, digest: new Uint8Array(20).fill(1) }],
    }),
    'two addresses that differ',
  );
  for (const version of ['', 'x', '1.x', 'v', '1.2.3.4']) {
    refuses(t, 'software_version', () => parse({ softwareVersion: version }), `version ${version}`);
  }
});

t.test('a hostile certificate text is judged in linear time', async (t) => {
  const caCert = Buffer.from(`-----BEGIN CERTIFICATE-----${' '.repeat(1_000_000)}!`);
  const node = { mpcIdentity: 'a', partyId: 1, externalUrl: 'http://a.example:1', caCert };
  const before = process.cpuUsage();
  refuses(t, 'ca_cert', () =>
    parseNewMpcContext(
      create(NewMpcContextRequestSchema, {
        newContext: { contextId: id(1), mpcNodes: [node], softwareVersion: '1' },
      }),
    ),
  );
  t.ok(process.cpuUsage(before).user < 10_000_000, 'microseconds of processor time, whatever else the machine does');
});

t.test('an epoch that reshares needs a domain and known digest types', async (t) => {
  const parse = (more: Fields<typeof NewMpcEpochRequestSchema> = {}) =>
    parseNewMpcEpoch(create(NewMpcEpochRequestSchema, { epochId: id(1), ...more }));
  t.equal(parse().previous, undefined);
  refuses(t, 'epoch_id', () => parseNewMpcEpoch(create(NewMpcEpochRequestSchema, {})));
  refuses(t, 'domain', () => parse({ previousEpoch: {} }));
  const key = { keyId: id(2), preprocId: id(3), keyDigests: [{ keyType: 'publickey', digest: new Uint8Array(32) }] };
  const previous = (info: object) => () => parse({ domain: D0, previousEpoch: { keysInfo: [{ ...key, ...info }] } });
  t.equal(previous({})().previous?.keys[0]?.digests[0]?.type, 'PublicKey', 'names in any case');
  refuses(t, 'key_id', previous({ keyId: zero }));
  refuses(t, 'preproc_id', previous({ preprocId: zero }));
  refuses(t, 'key_parameters', previous({ keyParameters: 5 }));
  refuses(t, 'key_digests.key_type', previous({ keyDigests: [{ keyType: 'Nothing' }] }));
  refuses(t, 'crs_id', () => parse({ domain: D0, previousEpoch: { crsInfo: [{ crsId: zero }] } }));
});

t.test('custodian requests keep the rules on ids, roles and threshold', async (t) => {
  const nodes = [1n, 2n, 3n].map((custodianRole) => ({ custodianRole }));
  const parse = (more: object = {}, mpcContextId = id(2)) =>
    parseNewCustodianContext(
      create(NewCustodianContextRequestSchema, {
        newCustodianContext: { custodianContextId: id(1), custodianNodes: nodes, threshold: 1, ...more },
        mpcContextId,
      }),
    );
  t.match(parse(), { custodians: 3, threshold: 1 });
  refuses(t, 'new_custodian_context', () => parseNewCustodianContext(create(NewCustodianContextRequestSchema, {})));
  refuses(t, 'custodian_context_id', () => parse({ custodianContextId: zero }));
  refuses(t, 'mpc_context_id', () => parse({}, zero));
  for (const threshold of [0, 2]) refuses(t, 'threshold', () => parse({ threshold }), `threshold ${threshold}`);
  for (const roles of [
    [1n, 1n, 2n],
    [0n, 1n, 2n],
    [1n, 2n, 4n],
  ]) {
    const custodianNodes = roles.map((custodianRole) => ({ custodianRole }));
    refuses(t, 'custodian_role', () => parse({ custodianNodes }), roles.join());
  }
  const recover = (more: object) => () => parseCustodianBackupRecovery(create(CustodianRecoveryRequestSchema, more));
  refuses(t, 'custodian_context_id', recover({}));
  refuses(t, 'custodian_recovery_outputs', recover({ custodianContextId: id(1) }));
  t.equal(recover({ custodianContextId: id(1), custodianRecoveryOutputs: [{}] })(), idOf(1));
});
