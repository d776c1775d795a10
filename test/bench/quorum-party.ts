/**
 * The quorum that is measured: n pairs of engine and Core as processes of their own, on a state folder in the user's
 * cache. They hold shares of the key of the single party that is measured, dealt to them while nobody runs, since parties
 * that generate a production key on one small machine take minutes.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ShareCatalogue } from '../../enclave/keys/share-catalogue.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../enclave/vault/private-vault.ts';
import { FheKey, KeyShares, splitKey } from '../../native/engine/index.ts';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import type { DeveloperQuorumOptions, RunningQuorum } from '../../parent/cli/quorum/running-quorum.ts';
import type { Params } from '../../parent/cli/supervise/run-node.ts';
import { partyFolder as folderOfParty } from '../../parent/cli/supervise/state-folder.ts';
import { openFileStorage } from '../../storage/file-storage.ts';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../wire/ids.ts';
import { decodeKeyGenMetadata } from '../../wire/metadata.ts';
import { cacheFolder } from '../helpers/load-generator.ts';
import { startQuietQuorum } from '../helpers/start-quiet-quorum.ts';
import { type Making, PLAINTEXT, partyFolder, startBenchParty } from './party.ts';

/** Raised when what is kept in the cache changes, so that an older folder is made anew. */
const CACHE_VERSION = 1;
const EUINT256 = 8;
const BIG_COMPRESSED = 2;

/** How a quorum is started besides its size. */
export type BenchQuorumOptions = Pick<DeveloperQuorumOptions, 'meshEndpoint'>;

/** A quorum ready to be measured. The caller stops it. */
export interface BenchQuorum {
  readonly running: RunningQuorum;
  readonly keyId: string;
  /** Client addresses, `host:port`, in the parties' order. */
  readonly addresses: readonly string[];
  /** 20 bytes each, of what parties sign with, in their order. */
  readonly signers: readonly string[];
}

/** Starts the cached quorum of a size, making it first if it is not there; the cached single party must be there. */
export async function startBenchQuorum(
  params: Params,
  parties: number,
  options: BenchQuorumOptions = {},
): Promise<BenchQuorum> {
  const folder = join(cacheFolder(), 'bench', `quorum-${CACHE_VERSION}-${params}-${parties}`);
  if (!existsSync(folder)) await makeQuorum(folder, params, parties);
  const running = await startQuietQuorum({ dir: folder, params, parties, ...options });
  const { keyId } = await readMaking(params);
  const addresses = running.parties.map(({ node }) => new URL(node.clientUrl).host);
  return { running, keyId, addresses, signers: running.parties.map(({ node }) => node.address) };
}

/** What is decrypted: euint64 and euint256 under the cached party's key, which hold the same number. */
export async function benchCiphertexts(
  params: Params,
  say: (line: string) => void,
): Promise<{ readonly euint64: Uint8Array; readonly euint256: Uint8Array }> {
  const folder = partyFolder(params);
  if (!existsSync(folder)) await (await startBenchParty(params, say)).running.stop();
  const wide = join(folder, 'ciphertext-256');
  if (!existsSync(wide)) {
    const { keyId } = await readMaking(params);
    const path = join(folder, 'state/public/PUB/CompressedXofKeySet', keyId);
    using keys = await loadEvaluationKeys({ compressedXofKeySetPath: path });
    await writeFile(wide, await keys.encrypt(PLAINTEXT, EUINT256, BIG_COMPRESSED));
  }
  return { euint64: await readFile(join(folder, 'ciphertext')), euint256: await readFile(wide) };
}

/** Reads the whole key of the cached party, which must not be running. */
export async function readBenchKey(params: Params): Promise<FheKey> {
  const { keyId } = await readMaking(params);
  const storage = await openFileStorage({
    root: join(partyFolder(params), 'state/private'),
    prefix: 'PRIV',
    folderMode: 0o700,
  });
  const path = ['FhePrivateKey', DEFAULT_EPOCH_ID, parseRequestId(keyId)] as const;
  return await new PrivateVault(clearKeeper(storage)).read(path, (content) => FheKey.fromBytes(content));
}

async function readMaking(params: Params): Promise<Making> {
  return JSON.parse(await readFile(join(partyFolder(params), 'making.json'), 'utf8'));
}

/** Has a new quorum make its epoch, and deals the key among its stopped parties. */
async function makeQuorum(folder: string, params: Params, parties: number): Promise<void> {
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  await (await startQuietQuorum({ dir: unfinished, params, parties })).stop();
  using key = await readBenchKey(params);
  const metadata = decodeKeyGenMetadata(key.metadata);
  for (const shares of splitKey({ key, n: parties, t: (parties - 1) / 3, provenance: 'developer' })) {
    const { party, provenance } = shares;
    const root = join(folderOfParty(unfinished, party), 'private');
    const storage = await openFileStorage({ root, prefix: `PRIV-p${party}`, folderMode: 0o700 });
    const reader = { fromBytes: KeyShares.fromBytes, developerKeys: true, party };
    const catalogue = await ShareCatalogue.load(new PrivateVault(clearKeeper(storage)), reader);
    await catalogue.addKeySet({ epochId: DEFAULT_EPOCH_ID, params, provenance, metadata, shares });
    catalogue.dispose();
  }
  await rename(unfinished, folder);
}
