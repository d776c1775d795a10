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
  measurementsOf,
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
import { present } from '../../../helpers/present.ts';
import {
  CHARTER,
  charterOf,
  coreEntry,
  DAY_MS,
  DEV_CHARTER,
  digestOf,
  engineEntry,
  GOVERNANCE,
  keyOf,
  MAINNET,
  NOW_MS,
  pcrsOf,
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
const devSet = (...entries: ReleaseEntry[]) =>
  makeReleaseSet({
    version: 1,
    network: DEV_CHARTER.network,
    entries: entries.map((e) => ({ ...e, platform: 'developer' })),
  });

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
        parties: [{ party: 1, address: '00' }, { party: 1 }],
        context: '11',
        authorizationPolicy: 'No Policy',
        aws: { account: '1', region: 'nowhere', primaryKeyId: '', backupKeyId: 'x' },
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
    'aws.account',
    'aws.region',
    'aws.primaryKeyId',
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

t.test('a release set needs 2t + 1 of the release keys of the record', async (t) => {
  for (let count = 1; count <= 7; count++) {
    const keys = Array.from({ length: count }, (_, at) => keyOf(`release ${at}`));
    const record = recordFields(1, { releaseKeys: keys.map(rawPublicKey) });
    const needed = 2 * Math.floor((count - 1) / 3) + 1;
    for (const signers of [needed - 1, needed]) {
      const set = keys.slice(0, signers).reduce((sum, key) => signReleaseSet(sum, key), makeSet(engineEntry('A')));
      const verify = () => verifyReleaseSet(encodeSigned(set), makeRecord(record).body);
      if (signers === needed) t.doesNotThrow(verify, `${signers} of ${count}`);
      else t.throws(verify, { code: 'PERMISSION_DENIED' }, `${signers} of ${count}`);
    }
  }
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

t.test('an entry needs every register that its platform demands', async (t) => {
  for (const [make, needed] of [
    [engineEntry, [0, 1, 2]],
    [coreEntry, [4, 7, 11, 12]],
  ] as const) {
    for (const left of needed) {
      const pcrs = pcrsOf(
        'A',
        needed.filter((index) => index !== left),
      );
      t.throws(() => makeSet(make('A', { pcrs })), { message: new RegExp(`lacks PCR ${left}`) }, `without PCR${left}`);
    }
  }
  t.throws(() => makeSet(engineEntry('A', { pcrs: new Map() })), { message: /lacks PCR 0, 1, 2/ }, 'an empty tuple');
  t.throws(() => devSet(coreEntry('A', { pcrs: pcrsOf('A', [0, 1, 2]) })), { message: /lacks PCR 4, 7, 11, 12/ });
});

t.test('a register of zeros is refused, also one that nobody demands', async (t) => {
  for (const index of [0, 1, 2, 8]) {
    const pcrs = new Map([...pcrsOf('A'), [index, new Uint8Array(48)] as const]);
    t.throws(() => makeSet(engineEntry('A', { pcrs })), { message: /is zero/ }, `PCR${index}`);
  }
});

t.test('platform and role must fit, and the network too', async (t) => {
  t.throws(() => makeSet(engineEntry('A', { role: 'core' })), { message: /must be engine/ });
  t.throws(() => makeSet(coreEntry('A', { role: 'engine' })), { message: /must be core or connector/ });
  t.throws(() => makeSet(engineEntry('A', { platform: 'developer' })), { message: /begin with 'dev:'/ });
  t.throws(() => makeReleaseSet({ version: 1, network: DEV_CHARTER.network, entries: [engineEntry('A')] }), {
    message: /must be developer/,
  });
  t.doesNotThrow(() => devSet(engineEntry('A'), coreEntry('A')));
});

t.test('all faults of a set are named at once, with their places', async (t) => {
  const bad = engineEntry('A', {
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS,
    pcrs: pcrsOf('A', [0, 1]),
    supersededBy: 'gone',
  });
  const worse = coreEntry('B', {
    pcrs: new Map([...pcrsOf('B', [4, 7, 11]), [30, digestOf('30')], [12, new Uint8Array(48)]]),
  });
  const faults = present(faultsOf(thrownBy(() => makeSet(bad, worse)))).join('\n');
  for (const text of ['lacks PCR 2', 'notBefore', 'supersededBy', 'is zero', 'end at PCR 23'])
    t.match(faults, text, text);
});

t.test('entries are whole tuples: the same one twice for a role is refused', async (t) => {
  const twin = engineEntry('B', { pcrs: pcrsOf('A') });
  t.throws(() => makeSet(engineEntry('A'), twin), { message: /has the role and measurement of entries\[0\]/ });
});

t.test('a successor is another release of the set with the same role', async (t) => {
  t.throws(() => makeSet(engineEntry('A', { supersededBy: 'A' })), { message: /own release/ });
  t.throws(() => makeSet(engineEntry('A', { supersededBy: 'B' }), coreEntry('B')), {
    message: /no release of this set with role engine/,
  });
  t.doesNotThrow(() => makeSet(engineEntry('A', { supersededBy: 'B' }), engineEntry('B')));
});

t.test('a measurement is trusted from not-before until just before not-after', async (t) => {
  const { body } = makeSet(engineEntry('A', { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + DAY_MS }), coreEntry('C'));
  const at = (ms: number) =>
    measurementsOf(body, ms)
      .map(({ release }) => release)
      .sort();
  t.same(at(NOW_MS - 1), ['C']);
  t.same(at(NOW_MS), ['A', 'C']);
  t.same(at(NOW_MS + DAY_MS - 1), ['A', 'C']);
  t.same(at(NOW_MS + DAY_MS), ['C']);
  t.same(measurementsOf(undefined, NOW_MS), []);
});

t.test('developer entries are compared with documents of the shape of their role', async (t) => {
  const { body } = devSet(engineEntry('A'), coreEntry('A'), coreEntry('B', { role: 'connector' }));
  const shapes = measurementsOf(body, NOW_MS).map(({ role, platform }) => `${role} ${platform}`);
  t.same(shapes.sort(), ['connector nitro-tpm', 'core nitro-tpm', 'engine enclave']);
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
