/** Three custodians of a real party: they make its custodian context, and answer its requests once they have verified them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeCharter, encodeSigned } from '../../attestation/governance/index.ts';
import { readDeveloperAnchor } from '../../attestation/node/node-files.ts';
import { decodeAttestedRequest } from '../../attestation/recovery/attested-request.ts';
import { loadConfig } from '../../common/config.ts';
import { NodeConfig } from '../../common/node-config.ts';
import { systemRandom } from '../../common/random.ts';
import { answerRequest } from '../../custodian/answer.ts';
import { verifyRecoveryRequest } from '../../custodian/verify-request.ts';
import { readObject } from '../../parent/cli/governance/object-files.ts';
import { encodeRecoveryOutput } from '../../wire/custodian/recovery-request.ts';
import { encodeSetupMessage } from '../../wire/custodian/setup-message.ts';
import { DEFAULT_CONTEXT_ID, parseRequestId } from '../../wire/ids.ts';
import { custodianKeys } from '../unit/custodians/scene.ts';
import { operate, printed } from './aws-quorum.ts';
import { present } from './present.ts';

/** Id of the first context that they make. */
export const CONTEXT = 'c1'.repeat(32);

/** A party of a real quorum, and where its papers are kept. */
export interface CustodyOf {
  /** State folder of the party. */
  readonly folder: string;
  readonly papers: string;
  /** 20 bytes. */
  readonly address: Uint8Array;
}

const people = custodianKeys();
const paper = ({ papers }: CustodyOf, name: string): string => join(papers, name);

/** Any two of the three can bring the party back from now on. */
export async function makeCustodianContext(custody: CustodyOf, id = CONTEXT): Promise<void> {
  const seconds = Math.floor(Date.now() / 1000);
  const files = people.flatMap(({ ek, signer }, index) => {
    const setup = { role: index + 1, name: `custodian ${index + 1}`, randomValue: systemRandom(32), ek };
    const message = { ...setup, timestamp: { seconds, nanos: 0 }, verificationKey: signer.publicKey };
    const path = paper(custody, `${index + 1}.setup`);
    writeFileSync(path, Buffer.from(encodeSetupMessage(message)).toString('base64'));
    return ['--setup', path];
  });
  await operate(custody.folder, 'custodian-context', 'new', ...files, '--threshold', '1', '--id', id);
}

/**
 * Has a custodian asked, as the operator does, and answer.
 *
 * @returns Path of the answer.
 */
export async function askCustodian(custody: CustodyOf, role: number): Promise<string> {
  const { challenge } = await printed(['custodian', 'challenge', '--json']);
  const file = paper(custody, `${role}.request`);
  await operate(custody.folder, 'recovery', 'request', '--challenge', challenge, '--out', file);
  return await answer(custody, role, Buffer.from(challenge, 'hex'));
}

/** A custodian's answer to a file, once it has verified it with what it keeps beside its words. */
async function answer(custody: CustodyOf, role: number, challenge: Uint8Array): Promise<string> {
  const { folder, address } = custody;
  const kept = join(folder, 'governance');
  const charter = await readObject(join(kept, 'charter.cbor'), 'charter');
  const record = await readObject(join(kept, 'record.cbor'), 'record');
  const releases = encodeSigned(await readObject(join(kept, 'releases.cbor'), 'release-set'));
  const contexts = { mpcContextId: DEFAULT_CONTEXT_ID, custodianContextId: parseRequestId(CONTEXT) };
  const whose = { charter, charterBytes: encodeCharter(charter), address, minimumReleaseSet: 1 };
  const text = readFileSync(paper(custody, `${role}.request`), 'latin1');
  const { request, developer } = await verifyRecoveryRequest(decodeAttestedRequest(Buffer.from(text, 'base64')), {
    trust: { ...whose, releaseKeys: record.body.releaseKeys, ...contexts },
    challenge,
    releases,
    anchor: await readDeveloperAnchor(loadConfig(NodeConfig, { file: join(folder, 'node.toml'), env: {} })),
    nowMs: Date.now(),
  });
  if (!developer) throw new Error('this is no developer network');
  const output = answerRequest(present(people[role - 1]), role, request, contexts, systemRandom);
  const path = paper(custody, `${role}.answer`);
  writeFileSync(path, Buffer.from(encodeRecoveryOutput(output)).toString('base64'));
  return path;
}
