/**
 * The first half of an engine's start in an enclave: what the parent hands over is fetched, judged, and laid where the rest
 * of the engine looks for it. Nothing secret has been read yet, and nothing of the parent's is believed.
 */
import type { BootDocument } from '../../common/enclave-boot.ts';
import type { EnclaveImage } from '../../common/enclave-config.ts';
import { KmsError } from '../../common/errors.ts';
import { createLogger, type Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { bootConfig } from './boot-config.ts';
import { writeBootFiles, writeGoverned } from './boot-files.ts';
import { fetchBootDocument } from './fetch-boot-document.ts';
import { writeMemoryNeed } from './last-words.ts';
import type { ParentLink } from './parent-link.ts';

/** Where an engine is and what it is. */
export interface BootOptions {
  readonly image: EnclaveImage;
  readonly parent: ParentLink;
  /** The folder that init made. */
  readonly folder: string;
  /** What the image unpacks, if that is not where an image has it. */
  readonly imageFolders?: readonly string[];
}

/** What an engine starts with. */
export interface Booted extends BootOptions {
  readonly document: BootDocument;
  readonly config: NodeConfig;
  readonly log: Logger;
  /** Asks the parent for newer governed files; those that are there stay if it has none to give. */
  refresh(): Promise<void>;
}

/**
 * Boots an engine as far as its configuration.
 *
 * @throws KmsError `REQUEST_INVALID` or `CONFIG_INVALID` naming what of the document is wrong or not the parent's to
 *   choose; `UNAVAILABLE` if none comes.
 */
export async function boot({ image, parent, folder, imageFolders }: BootOptions): Promise<Booted> {
  const document = await fetchBootDocument(parent);
  if (document.developer !== undefined && image === 'production') {
    throw new KmsError('REQUEST_INVALID', 'boot document: developer: the root of this image is a constant of it');
  }
  if (document.developer === undefined && image === 'test') {
    throw new KmsError('REQUEST_INVALID', 'boot document: developer is missing: a test image trusts its root alone');
  }
  const config = bootConfig(document.node, image, folder);
  await writeBootFiles(folder, document);
  const log = createLogger({ name: 'engine', level: config.telemetry.log_level });
  const needMb = writeMemoryNeed(folder, config.threshold !== undefined, imageFolders);
  log.info({ event: 'engine.booted', image, needMb });
  let isAway = false;
  const refresh = async (): Promise<void> => {
    try {
      await writeGoverned(folder, await fetchBootDocument(parent));
      isAway = false;
    } catch (err) {
      // Asked again many times a second: the log is told once.
      if (!isAway) log.warn({ event: 'engine.boot-document-away', err });
      isAway = true;
    }
  };
  return { image, parent, folder, document, config, log, refresh };
}
