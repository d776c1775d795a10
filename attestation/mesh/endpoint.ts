/**
 * One process's side of the mesh: keeps its leaf fresh, judges its open connections again when the view changes and
 * each second, and says how it is. When the attester fails, service goes on until the leaf expires and then ends:
 * fail closed. Design §3 rule 1, §4.
 */
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { ChainCache } from '../document/index.ts';
import type { MeshLeaf } from './leaf.ts';
import { makeLeaf } from './make-leaf.ts';
import type { JudgedConnection, MeshEndpoint, MeshHealth, MeshLimits, MeshSelf, MeshView } from './mesh-context.ts';

const TICK_MS = 1_000;
const FIRST_BACK_OFF_MS = 1_000;
const LONGEST_BACK_OFF_MS = 60_000;
/** The next leaf is made this share of a life before connections are renewed, so that they find it ready. */
const LEAD = 1 / 30;

const DEFAULTS: MeshLimits = {
  handshakeTimeoutMs: 10_000,
  attestTimeoutMs: 5_000,
  maxProofAgeMs: 60_000,
  maxSkewMs: 60_000,
  maxLeafBytes: 16_384,
  maxMessageBytes: 16_384,
};
const MOST: MeshLimits = {
  handshakeTimeoutMs: 60_000,
  attestTimeoutMs: 60_000,
  maxProofAgeMs: 60_000,
  maxSkewMs: 60_000,
  maxLeafBytes: 32_768,
  maxMessageBytes: 32_768,
};

/** What {@link openMeshEndpoint} takes. */
export interface EndpointOptions {
  readonly self: MeshSelf;
  readonly view: MeshView;
  readonly clock: Clock;
  readonly log: Logger;
  /** Tightens the defaults, within what design §4 fixes. */
  readonly limits?: Partial<MeshLimits>;
}

/**
 * Opens an endpoint with its first leaf.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` for a limit out of its range, an identity that does not belong to `self`, or
 * another network than the view's; otherwise what the attester throws, or `ATTESTATION_INVALID` if its document does
 * not verify under the view's anchor.
 */
export async function openMeshEndpoint(options: EndpointOptions): Promise<MeshEndpoint> {
  checkSelf(options);
  const endpoint = new Endpoint(options, checkLimits(options.limits ?? {}));
  await endpoint.start();
  return endpoint;
}

function checkLimits(given: Partial<MeshLimits>): MeshLimits {
  const limits = { ...DEFAULTS };
  for (const name of limitNames) {
    const value = given[name] ?? DEFAULTS[name];
    if (!Number.isFinite(value) || value < 1 || value > MOST[name]) {
      throw new KmsError('CONFIG_INVALID', `${name} needs 1 to ${MOST[name]}`);
    }
    limits[name] = value;
  }
  return limits;
}

const limitNames = [
  'handshakeTimeoutMs',
  'attestTimeoutMs',
  'maxProofAgeMs',
  'maxSkewMs',
  'maxLeafBytes',
  'maxMessageBytes',
] as const satisfies readonly (keyof MeshLimits)[];

function checkSelf({ self, view }: EndpointOptions): void {
  const wrong: string[] = [];
  if (self.network !== view.network) wrong.push('the network is not that of the view');
  const needsKey = self.role === 'engine' && self.awaitsRestore !== true;
  if (needsKey !== (self.identity !== undefined)) {
    wrong.push(
      needsKey ? 'an engine needs a mesh key' : `a ${self.role} has no mesh key, nor has what is to be restored`,
    );
  }
  const certificate = self.identity?.certificate;
  if (certificate && (certificate.party !== self.party || certificate.network !== self.network)) {
    wrong.push('the identity certificate is of another party or network');
  }
  if (wrong.length > 0) throw new KmsError('CONFIG_INVALID', `mesh endpoint: ${wrong.join('; ')}`);
}

class Endpoint implements MeshEndpoint {
  readonly self: MeshSelf;
  readonly view: MeshView;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: MeshLimits;
  readonly chains = new ChainCache();
  readonly #connections = new Set<JudgedConnection>();
  readonly #stop = new AbortController();
  #leaf: MeshLeaf | undefined;
  #renewing: Promise<void> | undefined;
  #failedRenewals = 0;
  #retryAtMs = 0;
  #lastFailure = '';
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor({ self, view, clock, log }: EndpointOptions, limits: MeshLimits) {
    this.self = self;
    this.view = view;
    this.clock = clock;
    this.log = log;
    this.limits = limits;
  }

  async start(): Promise<void> {
    this.#leaf = await this.#make();
    this.#unsubscribe = this.view.onChange(() => this.#rejudge());
    this.#timer = setInterval(() => void this.tick(), TICK_MS);
    this.#timer.unref();
  }

  async leaf(): Promise<MeshLeaf> {
    if (this.#stop.signal.aborted) throw new KmsError('UNAVAILABLE', 'the mesh endpoint is closed');
    if (this.#isDue() && this.#isUsable()) void this.#renew();
    else if (!this.#isUsable()) await this.#renew();
    if (this.#leaf === undefined || !this.#isUsable()) {
      throw new KmsError('UNAVAILABLE', `the leaf has expired and the attester gives no other: ${this.#lastFailure}`);
    }
    return this.#leaf;
  }

  health(): MeshHealth {
    const leafExpiresMs = this.#leaf?.notAfterMs ?? 0;
    const reasons: string[] = [];
    if (this.#stop.signal.aborted) reasons.push('the endpoint is closed');
    if (!this.#isUsable()) reasons.push('the leaf has expired: no connection can be made or kept');
    if (this.#failedRenewals > 0) {
      reasons.push(`the attester failed ${this.#failedRenewals} times in a row: ${this.#lastFailure}`);
    }
    return {
      ok: !this.#stop.signal.aborted && this.#isUsable(),
      reasons,
      leafExpiresMs,
      failedRenewals: this.#failedRenewals,
    };
  }

  connections(): readonly JudgedConnection[] {
    return [...this.#connections];
  }

  adopt(connection: JudgedConnection): void {
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#stop.signal.aborted) connection.close('the endpoint is closed');
    else connection.rejudge(); // The view may have changed since the proof was judged.
  }

  async tick(): Promise<void> {
    this.#rejudge();
    if (this.#isDue()) await this.#renew();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unsubscribe?.();
    this.#stop.abort();
    const open = [...this.#connections];
    for (const connection of open) connection.close('the endpoint is closed');
    await Promise.all(open.map(({ closed }) => closed));
    await this.#renewing;
  }

  #isUsable(): boolean {
    return this.#leaf !== undefined && this.clock.nowMs() < this.#leaf.notAfterMs;
  }

  #isDue(): boolean {
    if (this.#leaf === undefined) return true;
    const lead = (this.#leaf.notAfterMs - this.#leaf.notBeforeMs) * LEAD;
    return this.clock.nowMs() >= this.#leaf.renewAtMs - lead;
  }

  #rejudge(): void {
    for (const connection of this.#connections) connection.rejudge();
  }

  /** One renewal at a time, no sooner than the back-off allows; never throws. */
  #renew(): Promise<void> {
    if (this.clock.monotonicMs() < this.#retryAtMs || this.#stop.signal.aborted) return Promise.resolve();
    this.#renewing ??= this.#tryRenewal().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #tryRenewal(): Promise<void> {
    try {
      this.#leaf = await this.#make();
      this.#failedRenewals = 0;
      this.#retryAtMs = 0;
      this.log.info({ event: 'mesh.leaf.renewed', expiresMs: this.#leaf.notAfterMs });
    } catch (error) {
      this.#lastFailure = isKmsError(error) ? error.message : 'unexpected failure';
      const waitMs = Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failedRenewals, LONGEST_BACK_OFF_MS);
      this.#failedRenewals++;
      this.#retryAtMs = this.clock.monotonicMs() + waitMs;
      const { leafExpiresMs: expiresMs } = this.health();
      this.log.error({ event: 'mesh.leaf.failed', err: error, failures: this.#failedRenewals, waitMs, expiresMs });
    }
  }

  async #make(): Promise<MeshLeaf> {
    const { attestTimeoutMs } = this.limits;
    const late = AbortSignal.timeout(attestTimeoutMs);
    try {
      return await makeLeaf(this, AbortSignal.any([this.#stop.signal, late]));
    } catch (error) {
      if (!late.aborted || !isKmsError(error, 'CANCELLED')) throw error;
      throw new KmsError('UNAVAILABLE', `the attester gave nothing in ${attestTimeoutMs} ms`, {}, error);
    }
  }
}
