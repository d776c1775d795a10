/** Preimages of our own, each behind its label, for preimages.test.ts: made, and seen to be what is hashed. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { attestCommitment } from '../../../attestation/attest-facts.ts';
import { type CborValue, encodeCanonical } from '../../../attestation/cbor.ts';
import { clientLeafDigest } from '../../../attestation/client-leaf.ts';
import {
  charterDigest,
  encodeCharter,
  encodeRecord,
  encodeReleaseSet,
  makeCharter,
  PROPOSAL_KINDS,
  proposalDigest,
} from '../../../attestation/governance/index.ts';
import { identityDigest } from '../../../attestation/mesh/identity.ts';
import { leafDigest } from '../../../attestation/mesh/leaf.ts';
import { proofDigest } from '../../../attestation/mesh/proof.ts';
import { recoverCommitment } from '../../../attestation/recovery/recover-facts.ts';
import { ROLES, SERVICES } from '../../../attestation/role.ts';
import { encodeRestart, restartDigest, restartFields } from '../../../attestation/start/quorum-restart.ts';
import { startDigest, startFields } from '../../../attestation/start/start-record.ts';
import { toHex } from '../../../common/bytes.ts';
import { signStatement, statementPreimage } from '../../../enclave/custodians/active-statement.ts';
import {
  bindingDigest,
  DATA_KEY_PURPOSES,
  encryptionContextOf,
  kmsUserData,
} from '../../../enclave/keychain/data-keys.ts';
import { type Manifest, manifestDigest, manifestFields } from '../../../enclave/seal/manifest.ts';
import { tailDigest } from '../../../enclave/seal/object-signatures.ts';
import { encodeHead, headDigest, headFields, type SealedHead } from '../../../enclave/seal/sealed-head.ts';
import { idFromBytes } from '../../../wire/ids.ts';

const bytes = fc.uint8Array({ maxLength: 80 });
const fixed = (sizeBytes: number) => fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes });
/** The base point of Ed25519: a public key whose private key does not matter. */
const ED25519_BASE = new Uint8Array(32).fill(0x66).with(0, 0x58);
const network = fc.constantFrom('mainnet-1', 'dev:00', 'a');
const party = fc.integer({ min: 1, max: 0xffff });
const counter = fc.nat();

/** A labelled preimage, once the function that hashes it has been seen to hash exactly this. */
function labelled(hash: 'sha256' | 'sha384', fields: readonly CborValue[], digest: Uint8Array): Uint8Array {
  const preimage = encodeCanonical(fields);
  const expected = createHash(hash).update(preimage).digest('hex');
  if (toHex(digest) !== expected) throw new Error(`${String(fields[0])} hashes something else than its row says`);
  return preimage;
}

/** Preimages that begin with a label: canonical CBOR `[label, …]`. */
export const LABELLED: Readonly<Record<string, fc.Arbitrary<Uint8Array>>> = {
  'mesh-identity': fc
    .tuple(network, party, fc.constantFrom('mesh' as const, 'record' as const), fixed(32))
    .map(([net, n, purpose, key]) => {
      const fields = ['arca-identity-1', net, n, purpose, key];
      return labelled('sha256', fields, identityDigest({ network: net, party: n, purpose, key }));
    }),
  'mesh-leaf': fc.tuple(network, party, fc.constantFrom(...ROLES), bytes).map(([net, n, role, spki]) => {
    const fields = ['arca-mesh-leaf-1', net, n, role, spki];
    return labelled('sha384', fields, leafDigest({ network: net, party: n, role, spki }));
  }),
  'mesh-proof': fc
    .tuple(fc.constantFrom(...ROLES), fc.constantFrom(...SERVICES), fixed(32), fixed(32), fixed(32), network)
    .chain((head) => fc.tuple(fc.constant(head), fixed(32), party, party, counter, bytes))
    .map(
      ([[role, service, exporter, clientLeafSha256, serverLeafSha256, net], context, sender, receiver, n, hello]) => {
        const channel = { service, exporter, clientLeafSha256, serverLeafSha256 };
        const claims = { role, service, network: net, context, sender, receiver, incarnation: n };
        const helloHash = createHash('sha256').update(hello).digest();
        const head = ['arca-mesh-proof-1', role, service, exporter, clientLeafSha256, serverLeafSha256];
        return labelled(
          'sha384',
          [...head, net, context, sender, receiver, n, Uint8Array.from(helloHash)],
          proofDigest(channel, claims, hello),
        );
      },
    ),
  attest: fc
    .tuple(network, fixed(48), party, fixed(20), fc.string({ maxLength: 20 }), counter)
    .map(([net, digest, n, address, release, incarnation]) =>
      labelled(
        'sha384',
        ['arca-attest-1', net, digest, n, address, release, incarnation],
        attestCommitment({ network: net, charterDigest: digest, party: n, address, release, incarnation }),
      ),
    ),
  recover: fc
    .tuple(fixed(48), fixed(32), fixed(32), fixed(20), fixed(32), fixed(16))
    .map(([charterDigest, mpcContextId, custodianContextId, address, ciphertextsDigest, challenge]) =>
      labelled(
        'sha384',
        ['arca-recover-1', charterDigest, mpcContextId, custodianContextId, address, ciphertextsDigest, challenge],
        recoverCommitment({
          charterDigest,
          mpcContextId,
          custodianContextId,
          address,
          ciphertextsDigest,
          challenge,
        }),
      ),
    ),
  'client-leaf': fc
    .tuple(network, party, bytes)
    .map(([net, n, spki]) =>
      labelled('sha384', ['arca-client-leaf-1', net, n, spki], clientLeafDigest({ network: net, party: n, spki })),
    ),
  charter: fc.tuple(fc.integer({ min: 1, max: 1024 }), fixed(32)).map(([n, anchor]) => {
    const charter = makeCharter({
      network: 'dev:00',
      party: n,
      governance: { keys: [ED25519_BASE], threshold: 1 },
      anchor,
    });
    const preimage = encodeCharter(charter);
    const isHashed = toHex(charterDigest(charter)) === createHash('sha384').update(preimage).digest('hex');
    return isHashed ? preimage : new Uint8Array();
  }),
  proposal: fc.tuple(network, fc.constantFrom(...PROPOSAL_KINDS), fixed(48)).map(([net, kind, digest]) => {
    const fields = new Map<string, string | Uint8Array>(Object.entries({ network: net, kind, digest }));
    return labelled('sha384', ['arca-proposal-1', fields], proposalDigest({ network: net, kind, digest }));
  }),
  record: fc.tuple(network, counter, fixed(32)).map(([net, version, context]) =>
    encodeRecord({
      version,
      network: net,
      releaseKeys: [ED25519_BASE],
      parties: [{ party: 1 }],
      context,
      authorizationPolicy: 'published',
    }),
  ),
  'kms-document': fc.tuple(fixed(48), party).map(([charter, n]) => {
    return labelled('sha384', ['arca-kms-1', charter, n], kmsUserData({ charterDigest: charter, party: n }));
  }),
  'data-key': fc
    .tuple(fc.constantFrom(...DATA_KEY_PURPOSES), fixed(48), party, fc.option(fc.string()), fc.string())
    .map(([purpose, charter, n, epoch, object]) => {
      const ids = { contextId: 'aa', epochId: epoch ?? undefined };
      const binding = { purpose, charterDigest: charter, party: n, ...ids, object };
      const facts = new Map(Object.entries(encryptionContextOf(binding)));
      return labelled('sha256', ['arca-data-key-1', facts], bindingDigest(binding));
    }),
  'object-head': fc
    .tuple(fixed(48), party, fc.string(), fc.option(fc.string()), counter, fixed(32), bytes)
    .map(([charterDigest, n, name, id, version, key, blob]) => {
      const ids = { keyId: id ?? undefined, contextId: undefined, epochId: undefined, parameters: undefined };
      const how = { keychain: 'clear', compression: 'none', sizeBytes: undefined, streamHeader: key.slice(8) } as const;
      const what = { purpose: DATA_KEY_PURPOSES[0], charterDigest, party: n, name, type: 'a', version, ...ids };
      const head: SealedHead = { ...what, ...how, signer: key, commitment: key, wrapped: { keyId: 'clear', blob } };
      return labelled('sha384', ['arca-object-head-1', headFields(head)], headDigest(encodeHead(head)));
    }),
  manifest: fc
    .tuple(fixed(48), party, counter, fc.option(fixed(48)), fc.string(), fc.option(fixed(48)))
    .map(([charterDigest, n, sequence, previous, name, digest]) => {
      const writing = digest === null ? undefined : { place: '1-ab', digest, sizeBytes: n };
      const entries = new Map([[name, { version: sequence, writing }]]);
      const source = digest === null ? undefined : { sequence: n, digest };
      const chain = { sequence, previous: previous ?? undefined, incarnation: n, source };
      const memory = charterDigest.slice(0, n % 8);
      const manifest: Manifest = { purpose: DATA_KEY_PURPOSES[0], charterDigest, party: n, ...chain, entries, memory };
      return labelled('sha384', ['arca-manifest-1', manifestFields(manifest)], manifestDigest(manifest));
    }),
  custodians: fc
    .tuple(fixed(48), party, fc.integer({ min: 1 }), fixed(32), fixed(32), fixed(33))
    .map(([charterDigest, n, sequence, id, material, verificationKey]) => {
      const contextId = idFromBytes(id.with(0, 1));
      const statement = { charterDigest, party: n, sequence, contextId, material, verificationKey };
      const preimage = statementPreimage(statement);
      const signed = signStatement(statement, { publicKey: verificationKey, signSha256: (data) => data });
      const isSigned = toHex(signed) === toHex(Buffer.concat([preimage, preimage]));
      return isSigned ? preimage : new Uint8Array();
    }),
  start: fc
    .tuple(fixed(48), party, counter, fixed(32), counter, fc.option(fixed(32)))
    .map(([digest, n, incarnation, hash, sequence, epoch]) => {
      const versions = { releases: n, record: sequence };
      const ids = { nonce: hash, context: hash, leaf: hash, epoch: epoch ?? undefined };
      const manifest = { sequence, digest };
      const source = epoch === null ? undefined : manifest;
      const start = {
        charterDigest: digest,
        party: n,
        incarnation,
        manifest,
        source,
        base: source,
        ...versions,
        ...ids,
      };
      return labelled('sha384', ['arca-start-1', startFields(start)], startDigest(start));
    }),
  'quorum-restart': fc.tuple(network, fixed(32), counter).map(([net, context, number]) => {
    const restart = { network: net, context, number, starts: [], remembered: [] };
    const fields = ['arca-quorum-restart-1', restartFields(restart)];
    return labelled('sha384', fields, restartDigest(encodeRestart(restart)));
  }),
  object: fc.tuple(fixed(48), counter, fixed(32)).map(([digest, chunks, bodyDigest]) => {
    const fields = ['arca-object-1', digest, chunks, bodyDigest];
    return labelled('sha384', fields, tailDigest({ headDigest: digest, chunks, bodyDigest }));
  }),
  'release-set': fc.tuple(network, counter, fixed(48)).map(([net, version, value]) =>
    encodeReleaseSet({
      version,
      network: net,
      entries: [
        {
          release: '1',
          platform: 'enclave',
          role: 'engine',
          pcrs: new Map([[0, value]]),
          notBeforeMs: 0,
          notAfterMs: 1,
        },
      ],
    }),
  ),
};

/** The label that each row of our own begins with. */
export const LABELS: Readonly<Record<string, string>> = {
  'arca-identity-1': 'mesh-identity',
  'arca-mesh-leaf-1': 'mesh-leaf',
  'arca-mesh-proof-1': 'mesh-proof',
  'arca-attest-1': 'attest',
  'arca-recover-1': 'recover',
  'arca-client-leaf-1': 'client-leaf',
  'arca-charter-1': 'charter',
  'arca-proposal-1': 'proposal',
  'arca-record-1': 'record',
  'arca-release-set-1': 'release-set',
  'arca-kms-1': 'kms-document',
  'arca-data-key-1': 'data-key',
  'arca-object-head-1': 'object-head',
  'arca-object-1': 'object',
  'arca-manifest-1': 'manifest',
  'arca-start-1': 'start',
  'arca-custodians-1': 'custodians',
  'arca-quorum-restart-1': 'quorum-restart',
};
