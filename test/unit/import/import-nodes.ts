/** Nodes that whole keys are imported into, and the import itself. */
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { systemRandom } from '../../../common/random.ts';
import { encodeEpochData } from '../../../enclave/contexts/epoch-data.ts';
import { type ImportOptions, importKey } from '../../../enclave/import/import-key.ts';
import type { ImportTarget } from '../../../enclave/import/import-target.ts';
import { partySets } from '../../../enclave/mpc/party-sets.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { Eip712DomainMsgSchema } from '../../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { parseDomain } from '../../../wire/eip712.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, parseRequestId, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { encodePrivateSigKey } from '../../../wire/signing-keys.ts';
import { clientKeyOf } from '../../helpers/client-key.ts';
import { testKeySet } from '../../helpers/fhe-key-set.ts';
import { D0 } from '../../helpers/requests.ts';

/** The tag of the test keys. */
export const KEY = parseRequestId('a1'.repeat(32));
/** The domain that imports sign for. */
export const DOMAIN = parseDomain(create(Eip712DomainMsgSchema, D0));
/** A key with its compressed public objects. */
export const compressed = await testKeySet(t);
/** The same key with uncompressed ones. */
export const uncompressed = await testKeySet(t, 'uncompressed');
/** Its client key. */
export const clientKey = clientKeyOf(compressed.key);

/** A node and its private storage. */
export interface Node extends ImportTarget {
  readonly storage: Storage;
  readonly address: Uint8Array;
}

interface NodeOptions {
  readonly n?: number;
  readonly storage?: Storage;
  readonly publicVault?: Storage;
  readonly epochParty?: number;
  readonly setUpId?: Uint8Array;
}

/** A node that was started once; a party of n, or a centralized one. */
export async function node(party: number, options: NodeOptions = {}): Promise<Node> {
  const { n, storage = openMemoryStorage(), publicVault = openMemoryStorage(), epochParty = party } = options;
  const vault = new PrivateVault(clearKeeper(storage));
  using key = NodeKey.generate();
  await vault.put(['SigningKey', SIGNING_KEY_ID], encodePrivateSigKey(key.secretBytes()));
  if (n !== undefined) {
    const t = (n - 1) / 3;
    const keys = partySets(n, t)
      .filter((set) => set.includes(epochParty))
      .map(() => systemRandom(32));
    const setUpId = options.setUpId ?? new Uint8Array(32).fill(3);
    const data = { contextId: DEFAULT_CONTEXT_ID, n, t, party: epochParty, setUpId, settled: true, keys };
    await vault.put(['EpochData', DEFAULT_EPOCH_ID], encodeEpochData(data));
  }
  return {
    name: `node ${party}`,
    party,
    threshold: n !== undefined,
    vault,
    publicVault,
    storage,
    address: key.address,
  };
}

/** The parties of a quorum of n. */
export const parties = (n: number): Promise<Node[]> =>
  Promise.all(Array.from({ length: n }, (_, index) => node(index + 1, { n })));

/** Imports the client key. */
export function run(targets: readonly ImportTarget[], overrides: Partial<ImportOptions> = {}) {
  return importKey({
    clientKey,
    material: 'compressed',
    epochId: DEFAULT_EPOCH_ID,
    domain: DOMAIN,
    extraData: new Uint8Array(),
    targets,
    onStep: () => undefined,
    ...overrides,
  });
}

/** The public objects of a folder. */
export const files = ({ folder }: { readonly folder: string }) => ({
  publicKey: join(folder, 'PublicKey'),
  keySet: join(folder, 'CompressedXofKeySet'),
});
