/**
 * The public HTTP port of a node that attests, in front of a software security module of the test's own: what
 * `arca attest` talks to. Its answers can be tampered with on their way.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { type AttestFacts, attestCommitment } from '../../attestation/attest-facts.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { createLogger } from '../../common/log.ts';
import type { Attest } from '../../parent/core/admin/attest.ts';
import { attestationPage } from '../../parent/core/http/attestation.ts';
import { startHttpServer } from '../../parent/core/http/http-server.ts';
import { AttestResultSchema } from '../../proto/gen/engine_pb.js';
import { startTestAttester, type TestAttester, type TestAttesterOptions } from './software-nsm.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** What of the node varies. */
export interface AttestingNodeOptions extends Partial<TestAttesterOptions> {
  readonly facts?: Partial<AttestFacts>;
  /** Facts that are served beside the document, over those that it commits to. */
  readonly served?: Partial<AttestFacts>;
  /** Nonce that goes into the document, instead of the asker's. */
  readonly nonce?: Uint8Array;
  readonly clock?: Clock;
}

/** See the file comment. */
export interface AttestingNode {
  /** `127.0.0.1:port`. */
  readonly target: string;
  readonly attester: TestAttester;
  readonly facts: AttestFacts;
  readonly attest: Attest;
  readonly dir: string;
  /** PEM file of its root. */
  readonly rootFile: string;
  /** Release set with its measurement, JSON. */
  readonly releaseFile: string;
}

/** Name of the release in the file. */
export const RELEASE = 'arca-1.0.0';

/** Starts a node and stops it after the test. */
export async function startAttestingNode(t: Teardown, options: AttestingNodeOptions = {}): Promise<AttestingNode> {
  const charterDigest = options.facts?.charterDigest ?? new Uint8Array(48).fill(7);
  const { role = 'engine' } = options;
  const charter = role === 'engine' ? { charterDigest } : {};
  const attester = await startTestAttester({ ...charter, ...options, role });
  const facts: AttestFacts = {
    network: 'dev:test',
    charterDigest,
    party: 1,
    address: new Uint8Array(20).fill(9),
    release: RELEASE,
    incarnation: 3,
    ...options.facts,
  };
  const attest: Attest = async (nonce) => {
    const document = await attester.nsm.attest({ nonce: options.nonce ?? nonce, userData: attestCommitment(facts) });
    const served = { ...facts, ...options.served };
    return create(AttestResultSchema, { ...served, document, incarnation: BigInt(served.incarnation) });
  };
  const log = createLogger({ name: 'test', level: 'fatal' });
  const page = attestationPage({ attest, clock: systemClock, log });
  const at = { host: '127.0.0.1', port: 0, setting: 'test' };
  const server = await startHttpServer(at, { maxConnections: 10, idleMs: 10_000 }, page);
  t.teardown(() => server.close(0));
  const dir = tempDir(t);
  const rootFile = join(dir, 'root.pem');
  writeFileSync(rootFile, pem(attester.root.certificate));
  const releaseFile = join(dir, 'release.json');
  writeFileSync(releaseFile, JSON.stringify(releaseSet(attester)));
  return { target: `127.0.0.1:${server.port}`, attester, facts, attest, dir, rootFile, releaseFile };
}

/** Returns the JSON of a release set that trusts an attester's measurement. */
export function releaseSet({ pcrs }: TestAttester, change: object = {}): { readonly entries: readonly object[] } {
  const values = Object.fromEntries([...pcrs].map(([index, value]) => [index, Buffer.from(value).toString('hex')]));
  const entry = { release: RELEASE, platform: 'developer', role: 'engine', pcrs: values };
  const set = { version: 1, network: 'dev:test' };
  return { ...set, entries: [{ ...entry, ...change }] };
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
