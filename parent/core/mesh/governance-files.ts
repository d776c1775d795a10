/**
 * What the Core knows of governance: read from the node's files at start, kept up to date from the engine, and written
 * back, so that the next start begins with the newest. Everything in it is signed and public.
 */
import { encodeSigned, GovernanceBook, type GovernanceOffer } from '../../../attestation/governance/index.ts';
import { type NodeFiles, readGovernedFiles, writeNodeFile } from '../../../attestation/node/node-files.ts';
import { equalBytes } from '../../../common/bytes.ts';
import type { Clock } from '../../../common/clock.ts';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { GovernanceState } from '../../../proto/gen/engine_pb.js';

/** See the file comment. */
export interface GovernanceFiles {
  readonly book: GovernanceBook;
  /** Takes what the engine holds; what is not newer changes nothing. */
  take(state: GovernanceState): void;
  /** Takes what stands in the files by now: an operator, or an engine that cannot be reached yet, may have put it there. */
  reread(): Promise<void>;
  /** Resolves once everything that was taken is written. */
  close(): Promise<void>;
}

/** Settings of {@link openGovernanceFiles}. */
export interface GovernanceFilesOptions {
  readonly config: NodeConfig;
  readonly files: NodeFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Objects as they are offered, signed. */
type Offered = Omit<NodeFiles, 'charter'>;

/**
 * Opens the book of a Core.
 *
 * @throws KmsError `STATE_INVALID` if the files hold no record or release set that is in force.
 */
export function openGovernanceFiles({ config, files, clock, log }: GovernanceFilesOptions): GovernanceFiles {
  // The delay of a new set protects the engine, which counts it; a Core that waited on its own would be locked out.
  const book = new GovernanceBook({ charter: files.charter, delayMs: 0 });
  /** Returns what is wrong with the object, for people. */
  const offer = (kind: GovernanceOffer['kind'], content: Uint8Array | undefined): string[] => {
    if (!content || content.byteLength === 0) return [];
    try {
      book.offer({ kind, content }, clock.nowMs());
      return [];
    } catch (err) {
      if (!isKmsError(err)) throw err;
      log.warn({ event: 'governance.refused', kind, err });
      return [`${kind}: ${err.message}`];
    }
  };
  const faults = [...offer('record', files.record), ...offer('release-set', files.releases)];
  /** What did not change since it was last looked at says nothing, old files least of all. */
  const newsFrom = (first: Offered): ((now: Offered) => void) => {
    let last = first;
    return (now) => {
      const news = (kind: keyof Offered): Uint8Array | undefined =>
        sameBytes(now[kind], last[kind]) ? undefined : now[kind];
      offer('record', news('record'));
      offer('release-set', news('releases'));
      last = now;
    };
  };
  const takeFiles = newsFrom(files);
  const takeEngine = newsFrom({ record: undefined, releases: undefined });
  const missing = [...(book.record ? [] : ['governed record']), ...(book.releases ? [] : ['release set'])];
  if (missing.length > 0) {
    const why = faults.length > 0 ? ` (${faults.join('; ')})` : '';
    throw new KmsError('STATE_INVALID', `no ${missing.join(' and no ')} is in force${why}`);
  }

  const written = { ...book.versions };
  let writing = Promise.resolve();
  const { record_path: recordPath, releases_path: releasesPath } = config.attestation;
  const save = async (): Promise<void> => {
    const { record, releases } = book;
    if (record && record.body.version > written.record) {
      await writeNodeFile(recordPath, encodeSigned(record));
      written.record = record.body.version;
    }
    if (releases && releases.body.version > written.releases) {
      await writeNodeFile(releasesPath, encodeSigned(releases));
      written.releases = releases.body.version;
    }
  };
  book.onChange(() => {
    writing = writing.then(save).catch((err: unknown) => log.error({ event: 'governance.not-written', err }));
  });
  return {
    book,
    take: (state) => {
      const before = book.versions;
      takeEngine(state);
      const now = book.versions;
      if (now.record !== before.record || now.releases !== before.releases) {
        log.info({ event: 'governance.taken', ...now });
      }
    },
    reread: async () => takeFiles(await readGovernedFiles(config)),
    close: () => writing,
  };
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && equalBytes(a, b));
}
