/**
 * The parts that a process may play, and the services that connections between them carry. Both stand in proofs
 * and release sets, so their spelling is wire format. Design §2, §4.
 */

/** What a process is: the enclave, its parent's service, or the chain's connector. */
export const ROLES = ['engine', 'core', 'connector'] as const;

/** A name out of {@link ROLES}. */
export type Role = (typeof ROLES)[number];

/** What a connection is for: calls to an engine, gRPC to a Core, data between engines. */
export const SERVICES = ['engine-calls', 'core-grpc', 'engine-data'] as const;

/** A name out of {@link SERVICES}. */
export type Service = (typeof SERVICES)[number];

/** Returns whether a text that somebody else supplied names a role. */
export const isRole = (value: unknown): value is Role => ROLES.some((role) => role === value);
