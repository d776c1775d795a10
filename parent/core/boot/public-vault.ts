/**
 * Keeps the public vault in step with the engine: opens it, publishes the node's identity, compares objects with what
 * the engine signed, at each connection. Spec: kms-service 1.7 steps 3 and 4.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isKmsError, KmsError, systemErrorCode } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { EngineInfo } from '../../../proto/gen/engine_pb.js';
import { openVaultStorage } from '../../../storage/open-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { openDigestCache } from '../objects/digest-cache.ts';
import { expectedObjects } from '../objects/expected-objects.ts';
import { PublicObjects } from '../objects/public-objects.ts';
import { promoteStaged, stagedGenerations } from '../objects/staged-objects.ts';

/** The public vault of a node. */
export interface PublicVault {
  readonly storage: Storage;
  readonly objects: PublicObjects;
  /** Where it is, for people. */
  readonly description: string;
  /**
   * Publishes identity objects that are missing and compares the rest. Large objects that changed since they were
   * last read are compared after it resolves.
   */
  follow(info: EngineInfo): Promise<void>;
  close(): Promise<void>;
}

/** Opens the public vault of a configuration. */
export async function openPublicVault(config: NodeConfig, log: Logger): Promise<PublicVault> {
  const { aws } = config;
  const { storage, stamp, description, close } = await openVaultStorage(config.public_vault.storage, {
    aws,
    folderMode: 0o755,
    log,
    ca: await developerAuthorities(config),
  });
  const cache = openDigestCache(join(dirname(config.state.path), 'public-digests.sqlite'));
  const objects = new PublicObjects({ storage, cache, fingerprint: (type, id) => stamp([type, id]) });
  let checking = Promise.resolve();
  let closed = false;
  const report = (): void => {
    for (const fault of objects.faults()) log.error({ event: 'public.fault', fault });
  };
  return {
    storage,
    objects,
    description,
    follow: async (info) => {
      await publishIdentity(storage, info);
      const made = new Set(info.keys.map(({ keyId }) => keyId));
      for (const id of await stagedGenerations(storage)) if (made.has(id)) await promoteStaged(storage, objects, id);
      objects.expect(expectedObjects(info));
      const { rest } = await objects.check(() => closed);
      report();
      checking = Promise.all([checking, rest]).then(report);
    },
    close: async () => {
      closed = true;
      await checking;
      cache.close();
      close();
    },
  };
}

/** Authorities of emulators before which TLS stands, as the enclave has them; nobody's but in developer mode. */
async function developerAuthorities({ developer_mode, enclave }: NodeConfig): Promise<readonly string[] | undefined> {
  const path = enclave?.developer_authorities_path;
  if (!developer_mode || path === undefined) return undefined;
  try {
    return [await readFile(path, 'utf8')];
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new KmsError('CONFIG_INVALID', `enclave.developer_authorities_path: ${path} cannot be read`, {}, error);
  }
}

/** Stores what is missing. Other content in its place is left alone: the comparison that follows names it. */
async function publishIdentity(storage: Storage, info: EngineInfo): Promise<void> {
  for (const { type, id, content } of info.identityObjects) {
    try {
      await storage.put([type, id], content);
    } catch (error) {
      if (!isKmsError(error, 'ALREADY_EXISTS')) throw error;
    }
  }
}
