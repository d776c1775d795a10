/**
 * Whether an engine may serve: a party of a quorum whose vault is sealed may not before the others have confirmed its
 * start. Format and rules: docs/formats/start-record.md.
 */

/** See the file comment. */
export interface StartGate {
  readonly isOpen: boolean;
  /**
   * Passes once the start is confirmed.
   *
   * @throws KmsError `UNAVAILABLE` before; `STATE_INVALID` if the vault was put back; `PRECONDITION_FAILED` while the
   *   quorum has to be restarted or reshared first.
   */
  require(): void;
  /** Resolves once it is open. @throws KmsError `CANCELLED` by the signal. */
  opened(signal: AbortSignal): Promise<void>;
}

/** Of an engine whose start nobody has to confirm: its vault is in clear, in developer mode. */
export const OPEN_GATE: StartGate = {
  isOpen: true,
  require: () => undefined,
  opened: async () => undefined,
};
