/**
 * How a request is opened: this party makes its shares, gives them out once the quorum has approved the request, and
 * opens what came of the others' as soon as it decodes. Shares leave by `share-release.ts` and nowhere else.
 */
import type { CiphertextItem } from '../../native/engine/index.ts';
import type { OpenDecryption } from './kernels.ts';
import type { LateChecks } from './late-checks.ts';
import type { LiveRequest } from './live-request.ts';
import type { OwnShares } from './own-shares.ts';
import { isForGood } from './quorum-failures.ts';
import { ShareCollector } from './share-collector.ts';
import type { ShareRelease } from './share-release.ts';

/** What opening needs of its quorum. */
export interface OpeningsOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly ownShares: OwnShares;
  readonly late: LateChecks;
  readonly release: ShareRelease;
  /** A party's share is wrong. */
  readonly onLiar: (party: number, live: LiveRequest) => void;
  /** A request waits no more: it is open, or has failed. */
  readonly onOpened: (live: LiveRequest) => void;
  readonly onFailed: (live: LiveRequest, error: unknown) => void;
  /** A request whose shares could not be made for the moment: asking again tries again. */
  readonly forget: (live: LiveRequest) => void;
}

/** One request to be opened. */
export interface Opening {
  readonly items: readonly Pick<CiphertextItem, 'fheType' | 'format'>[];
  readonly open: OpenDecryption;
  /** Makes this party's shares, of each item one. */
  readonly make: () => Promise<readonly Uint8Array[]>;
}

/** See the file comment. */
export class Openings {
  readonly #options: OpeningsOptions;

  constructor(options: OpeningsOptions) {
    this.#options = options;
  }

  /** Begins. The promise is true if it was opened; it never rejects, the request is told why it failed. */
  async begin(live: LiveRequest, opening: Opening): Promise<boolean> {
    live.collector = this.#collector(live, opening);
    try {
      await this.#open(live, opening.make);
      return true;
    } catch (error) {
      this.#options.onFailed(live, error);
      return false;
    }
  }

  #collector(live: LiveRequest, { items, open }: Opening): ShareCollector {
    const { me, n, t, late, onLiar } = this.#options;
    return new ShareCollector({
      me,
      n,
      t,
      open,
      items: items.map(({ fheType, format }) => ({ fheType, format })),
      onLiar: (party) => onLiar(party, live),
      onOpened: (keptBytes) => late.keep(live, keptBytes),
      lateTurn: () => late.turn(),
    });
  }

  async #open(live: LiveRequest, make: Opening['make']): Promise<void> {
    const { ownShares, release, onOpened, onFailed, forget } = this.#options;
    const own = await make().catch((error: unknown) => {
      onFailed(live, error);
      // As a file that is being replaced.
      if (!isForGood(error)) forget(live);
      throw error;
    });
    if (live.failure !== undefined) throw live.failure;
    ownShares.keep(live, own);
    await live.approved;
    for (const party of live.own.announcedBy) release.shares(live, party);
    live.collector?.begin(own);
    const opened = await live.collector?.opened;
    // What native code made has a buffer of its own outside of the heap; so small a copy lies in it.
    live.opened = opened?.map((plaintext) => Uint8Array.from(plaintext));
    onOpened(live);
  }
}
