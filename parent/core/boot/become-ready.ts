/**
 * The last part of a Core's start: the engine has been heard, its public material is there, the last run is taken up, and
 * every party can serve. Spec: kms-service 1.7.
 */
import { isKmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';
import type { QuorumWatch } from '../quorum/follow-quorum.ts';
import type { Core } from '../server.ts';
import type { PublicVault } from './public-vault.ts';

/** What takes part in a start. */
export interface BootParts {
  readonly core: Pick<Core, 'recover'>;
  readonly engine: EngineClient;
  readonly vault: Pick<PublicVault, 'follow'>;
  /** Of a threshold node alone. */
  readonly quorum: QuorumWatch | undefined;
  /** Lets clients of a threshold node in. */
  openToAll(): Promise<void>;
  readonly log: Logger;
}

/**
 * Follows the engine from now on; resolves when it has been followed once and the last run is taken up, and the clients
 * of a threshold node have been let in.
 *
 * A node whose vault is gone is ready at once to be restored: what its last run left, only an engine with its vault can tell.
 * One that waits for governance is ready for what its operator then has to do; clients are let in once it serves.
 */
export async function becomeReady({ core, engine, vault, quorum, openToAll, log }: BootParts): Promise<void> {
  let followed = Promise.resolve();
  const follow = async (): Promise<void> => {
    const info = engine.info();
    if (info) await vault.follow(info);
  };
  engine.onState((state) => {
    if (state !== 'connected') return;
    followed = followed.then(follow).catch((err: unknown) => log.error({ event: 'public.follow_failed', err }));
  });
  await engine.whenConnected();
  await followed;
  const takeUp = async (): Promise<void> => {
    await quorum?.settled;
    await core.recover();
    if (quorum) await openToAll();
  };
  const later = (before: Promise<void>): void =>
    void before.then(takeUp).catch((err: unknown) => {
      if (!isKmsError(err, 'CANCELLED')) log.error({ event: 'core.not-taken-up', err });
    });
  if (engine.info()?.awaitsRestore) return later(whenRestored(engine));
  if (quorum && (await Promise.race([quorum.settled.then(() => false), quorum.blocked.then(() => true)]))) {
    return later(quorum.settled);
  }
  await takeUp();
}

/** Resolves once the engine has come back with its vault. */
async function whenRestored(engine: EngineClient): Promise<void> {
  await new Promise<void>((resolve) => {
    const forget = engine.onState((state) => {
      if (state !== 'connected' || engine.info()?.awaitsRestore) return;
      forget();
      resolve();
    });
  });
}
