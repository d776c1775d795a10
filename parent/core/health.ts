/**
 * Whether this node may be asked anything, and if not, why: one answer for gRPC health, `/ready` and `arca status`.
 */

/** Reasons why the node does not serve, for people; empty when it serves. */
export interface Health {
  reasons(): readonly string[];
}

/** Health made of parts, each of which names its own reasons when asked. */
export function joinHealth(...parts: readonly (() => readonly string[])[]): Health {
  return { reasons: () => parts.flatMap((part) => part()) };
}
