import fc from 'fast-check';
import t from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import {
  approvalStatus,
  approve,
  bodyDigest,
  decodeRecord,
  decodeReleaseSet,
  decodeSignedProposal,
  decodeSignedRecord,
  encodeSigned,
  faultsOf,
  makeRecord,
  makeReleaseSet,
  PROPOSAL_KINDS,
  proposalDigest,
  proposalToJson,
  type ReleaseEntry,
  rawPublicKey,
  recordToJson,
  releaseSetToJson,
  releaseSignatureStatus,
  signedProposalFromJson,
  signedRecordFromJson,
  signedReleaseSetFromJson,
  signedToJson,
  signReleaseSet,
  unsignedProposal,
  verifyApprovals,
  verifyRecord,
  verifyReleaseSet,
  withSignature,
} from '../../../../attestation/governance/index.ts';
import { toHex } from '../../../../common/bytes.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { present } from '../../../helpers/present.ts';
import {
  AWS_KEYS,
  CHARTER,
  charterOf,
  coreEntry,
  DEV_CHARTER,
  digestOf,
  engineEntry,
  GOVERNANCE,
  keyOf,
  MAINNET,
  RELEASE,
  recordBytes,
  recordFields,
  sha256,
  signedRecord,
  signedSet,
  thrownBy,
} from './fixtures.ts';

const viaJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const makeSet = (...entries: ReleaseEntry[]) => makeReleaseSet({ version: 1, network: MAINNET, entries });

t.test('records, release sets and proposals come back from bytes and from JSON without a changed byte', async (t) => {
  const record = signedRecord(recordFields());
  t.same(decodeSignedRecord(encodeSigned(record)), record);
  t.same(encodeSigned(signedRecordFromJson(viaJson(signedToJson(record, recordToJson)))), encodeSigned(record));
  const set = signedSet({
    version: 7,
    network: MAINNET,
    entries: [engineEntry('A', { supersededBy: 'B' }), engineEntry('B'), coreEntry('A')],
  });
  t.same(encodeSigned(signedReleaseSetFromJson(viaJson(signedToJson(set, releaseSetToJson)))), encodeSigned(set));
  const proposal = { network: MAINNET, kind: 'epoch', digest: digestOf('epoch') } as const;
  const signed = { ...unsignedProposal(proposal), approvals: [approve(proposal, present(GOVERNANCE[0]))] };
  t.same(decodeSignedProposal(encodeSigned(signed)), signed);
  t.same(encodeSigned(signedProposalFromJson(viaJson(signedToJson(signed, proposalToJson)))), encodeSigned(signed));
});

t.test('in JSON lists may stand in any order; their bytes are the same', async (t) => {
  const reversed = (list: unknown): unknown => (Array.isArray(list) ? [...list].reverse() : undefined);
  const json = recordToJson(recordFields());
  const mixed = { ...json, releaseKeys: reversed(json.releaseKeys), parties: reversed(json.parties) };
  const read = signedRecordFromJson({ body: mixed, signatures: [], approvals: [] });
  t.same(read.bytes, makeRecord(recordFields()).bytes);
});

t.test('all faults of a record are named at once', async (t) => {
  const error = thrownBy(() =>
    signedRecordFromJson({
      body: {
        version: 0,
        network: MAINNET,
        releaseKeys: [],
        parties: [
          { party: 1, address: '00' },
          { party: 1, aws: { account: '1', region: 'nowhere', primaryKeyId: 'mrk-1', keyPolicy: '00' } },
        ],
        context: '11',
        authorizationPolicy: 'No Policy',
      },
      signatures: [{}],
      approvals: 'none',
    }),
  );
  const faults = present(faultsOf(error)).join('\n');
  for (const path of [
    'version',
    'releaseKeys',
    'parties[0].address',
    'parties:',
    'context',
    'authorizationPolicy',
    'eip712Domains',
    'parties[1].aws.account',
    'parties[1].aws.region',
    'parties[1].aws.primaryKeyId',
    'parties[1].aws.keyPolicy',
    'signatures[0].key',
    'approvals',
  ]) {
    t.ok(faults.includes(path), path);
  }
});

t.test('only networks of developer mode may allow any EIP-712 domain', async (t) => {
  t.throws(() => makeRecord(recordFields(1, { eip712Domains: undefined })), {
    message: /only networks of developer mode/,
  });
  t.doesNotThrow(() => makeRecord({ ...recordFields(), network: DEV_CHARTER.network, eip712Domains: undefined }));
  t.doesNotThrow(() => makeRecord(recordFields(1, { eip712Domains: [] })), 'none at all');
});

t.test('two parties never have one address', async (t) => {
  const address = Uint8Array.from(sha256('same').subarray(12));
  const parties = [1, 2].map((party) => ({ party, address }));
  t.throws(() => makeRecord(recordFields(1, { parties })), { message: /same address/ });
});

t.test('the keys of a party lie in its account and region', async (t) => {
  const parties = (fields: object) => [{ party: 1, aws: { ...AWS_KEYS, ...fields } }];
  t.same(makeRecord(recordFields(1, { parties: parties({}) })).body.parties[0]?.aws, AWS_KEYS, 'as they were given');
  const elsewhere = AWS_KEYS.backupKeyId.replace('eu-west-1', 'eu-west-2');
  for (const name of ['primaryKeyId', 'backupKeyId', 'previousKeyId']) {
    const message = new RegExp(`aws\\.${name}: is a key of another account or region`);
    t.throws(() => makeRecord(recordFields(1, { parties: parties({ [name]: elsewhere }) })), { message }, name);
  }
  t.throws(() => makeRecord(recordFields(1, { parties: parties({ account: '210987654321' }) })), {
    message: /another account/,
  });
});

t.test('a record holds with m governance signatures and not with fewer', async (t) => {
  t.equal(verifyRecord(recordBytes(), CHARTER).body.version, 1);
  const byTwo = signedRecord(recordFields(), GOVERNANCE.slice(0, 2));
  t.throws(() => verifyRecord(encodeSigned(byTwo), CHARTER), {
    code: 'APPROVAL_MISSING',
    facts: { signatures: 2, needed: 3 },
  });
  const strangers = ['x', 'y', 'z'].map(keyOf);
  const byStrangers = signedRecord(recordFields(), [...GOVERNANCE.slice(0, 2), ...strangers]);
  const error = thrownBy(() => verifyRecord(encodeSigned(byStrangers), CHARTER));
  for (const key of strangers) t.match(error.message, toHex(rawPublicKey(key)), 'an unknown key is named');
});

t.test('a record of another network is refused whoever signed it', async (t) => {
  const other = signedRecord({ ...recordFields(), network: 'mainnet-2' });
  t.throws(() => verifyRecord(encodeSigned(other), CHARTER), { code: 'PERMISSION_DENIED' });
});

t.test('signatures are over the stored bytes: a change of any of them convinces nobody', async (t) => {
  const record = signedRecord(recordFields());
  const changed = makeRecord(recordFields(1, { authorizationPolicy: 'changed' }));
  t.throws(() => verifyRecord(encodeSigned({ ...record, bytes: changed.bytes }), CHARTER), {
    code: 'APPROVAL_MISSING',
    message: /does not verify/,
  });
});

t.test('a release set that was signed for one kind of key does not count for the other', async (t) => {
  const key = present(GOVERNANCE[0]);
  const charter = charterOf({ governance: { keys: [rawPublicKey(key)], threshold: 1 } });
  const record = recordFields(1, { releaseKeys: [rawPublicKey(key)] });
  const set = signReleaseSet(makeSet(engineEntry('A')), key);
  t.ok(releaseSignatureStatus(set, record).complete);
  const proposal = { network: MAINNET, kind: 'release-set', digest: bodyDigest(set) } as const;
  t.notOk(approvalStatus(proposal, set.signatures, charter).approved, 'the release signature is no approval');
});

t.test('one key signs once, however often its signature is given', async (t) => {
  const key = present(RELEASE[0]);
  const set = [key, key, key].reduce((sum, signer) => signReleaseSet(sum, signer), makeSet(engineEntry('A')));
  t.equal(set.signatures.length, 1);
  const [signature] = set.signatures;
  const twice = encodeSigned({ ...set, signatures: [present(signature), present(signature)] });
  t.throws(() => verifyReleaseSet(twice, makeRecord(recordFields()).body), {
    code: 'REQUEST_INVALID',
    message: /none twice/,
  });
  const proposal = { network: MAINNET, kind: 'context', digest: digestOf('c') } as const;
  const approval = approve(proposal, present(GOVERNANCE[0]));
  const status = approvalStatus(proposal, [approval, approval, approval], CHARTER);
  t.equal(status.valid.length, 1);
  t.notOk(status.approved);
});

t.test('a key that is not asked to sign cannot by mistake', async (t) => {
  const proposal = { network: MAINNET, kind: 'context', digest: digestOf('c') } as const;
  t.throws(() => approve(proposal, keyOf('stranger'), CHARTER.governance.keys), { code: 'KEY_INVALID' });
  t.throws(() => signReleaseSet(makeSet(), keyOf('stranger'), RELEASE.map(rawPublicKey)), { code: 'KEY_INVALID' });
});

t.test('a proposal is of one network, kind and subject', async (t) => {
  const base = { network: MAINNET, kind: 'context', digest: digestOf('c') } as const;
  const others = [
    ...PROPOSAL_KINDS.filter((kind) => kind !== 'context').map((kind) => ({ ...base, kind })),
    { ...base, network: 'mainnet-2' },
    { ...base, digest: digestOf('d') },
  ];
  const approvals = GOVERNANCE.reduce<ReturnType<typeof withSignature>>(
    (list, key) => withSignature(list, approve(base, key)),
    [],
  );
  t.ok(verifyApprovals(base, approvals, CHARTER).approved);
  for (const other of others) {
    t.not(toHex(proposalDigest(other)), toHex(proposalDigest(base)));
    t.throws(() => verifyApprovals(other, approvals, CHARTER), { code: 'APPROVAL_MISSING' });
  }
  const foreign = { ...base, network: 'mainnet-2' };
  const signed = GOVERNANCE.map((key) => approve(foreign, key));
  t.throws(() => verifyApprovals(foreign, signed, CHARTER), { code: 'APPROVAL_MISSING' }, 'of another network');
});

t.test('an object under the label of another is refused', async (t) => {
  t.throws(() => decodeReleaseSet(makeRecord(recordFields()).bytes), { message: /arca-release-set-1/ });
  t.throws(() => decodeRecord(makeSet().bytes), { message: /arca-record-1/ });
  t.throws(() => decodeRecord(encodeCanonical(['arca-record-1', new Map(), 1])), { code: 'REQUEST_INVALID' });
});

t.test('objects beyond a megabyte are refused before they are read', async (t) => {
  const error = thrownBy(() => decodeRecord(new Uint8Array(1_048_577)));
  t.match(error, { code: 'REQUEST_INVALID', facts: { limitBytes: 1_048_576 } });
});

t.test('no mutation of a stored object makes another object of it that verifies', async (t) => {
  const record = signedRecord(recordFields());
  const { body: trusted } = makeRecord(recordFields());
  const set = signedSet({ version: 1, network: MAINNET, entries: [engineEntry('A'), coreEntry('A')] });
  for (const [what, stored, verify] of [
    ['record', record, (bytes: Uint8Array) => verifyRecord(bytes, CHARTER)],
    ['release set', set, (bytes: Uint8Array) => verifyReleaseSet(bytes, trusted)],
  ] as const) {
    const bytes = encodeSigned(stored);
    const place = fc.nat(bytes.byteLength - 1);
    const mutated = fc.oneof(
      fc.tuple(place, fc.integer({ min: 1, max: 255 })).map(([at, flip]) => bytes.with(at, (bytes[at] ?? 0) ^ flip)),
      place.map((length) => bytes.slice(0, length)),
      fc.tuple(place, place).map(([from, to]) => Uint8Array.from([...bytes.subarray(0, from), ...bytes.subarray(to)])),
      fc.uint8Array({ minLength: 1, maxLength: 20 }).map((tail) => Uint8Array.from([...bytes, ...tail])),
    );
    fc.assert(
      fc.property(mutated, (input) => {
        try {
          return toHex(verify(input).bytes) === toHex(stored.bytes);
        } catch (error) {
          return isKmsError(error);
        }
      }),
      { numRuns: 600 },
    );
    t.pass(what);
  }
});

t.test('the largest set that is allowed is read in a fraction of a second, a larger one is refused', async (t) => {
  const entries = Array.from({ length: 513 }, (_, at) => engineEntry(`release-${at}`));
  const { bytes } = makeSet(...entries.slice(0, 512));
  const before = process.cpuUsage();
  t.equal(decodeReleaseSet(bytes).entries.length, 512);
  t.ok(process.cpuUsage(before).user < 10_000_000, 'microseconds of processor time, whatever else the machine does');
  t.throws(() => makeSet(...entries), { code: 'REQUEST_INVALID', message: /0 to 512 items/ });
});
