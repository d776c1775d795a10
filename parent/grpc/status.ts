/**
 * gRPC status: numbers, the error that carries one, and how it travels in headers.
 *
 * A status message is opaque to clients (they key on the number); what is for people goes in google.rpc details.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack, DurationSchema } from '@bufbuild/protobuf/wkt';
import { type ErrorInfo, ErrorInfoSchema, RetryInfoSchema, StatusSchema } from '../../proto/gen/rpc-status_pb.js';

/** Status numbers of gRPC, under their published names. */
export const STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

const NAMES = new Map<number, string>(Object.entries(STATUS).map(([name, number]) => [number, name]));

/** Returns the published name of a status number, `UNKNOWN` for a number that gRPC does not have. */
export function statusName(status: number): string {
  return NAMES.get(status) ?? 'UNKNOWN';
}

/** What a failed call tells people and programs beside its status. */
export interface StatusDetails {
  /** Stable word for the failure, a code of common/errors.ts on our servers. */
  readonly reason: string;
  /** Facts, and under `message` the sentence for people. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When it makes sense to try again, if it does. */
  readonly retryAfterMs?: number;
}

/** A call that ended with a status other than OK, on either side of the wire. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly status: number;
  readonly details: StatusDetails | undefined;

  constructor(status: number, message: string, details?: StatusDetails, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.details = details;
  }

  /** Published name of the status, such as `NOT_FOUND`. */
  get statusName(): string {
    return statusName(this.status);
  }

  /** The sentence for people: the server's explanation where it gave one, else the status message. */
  get explanation(): string {
    return this.details?.metadata.message ?? this.message;
  }
}

const DOMAIN = 'arca';

/** Encodes the `grpc-status-details-bin` header: google.rpc.Status with ErrorInfo and, to be retried, RetryInfo. */
export function encodeDetails(status: number, message: string, details: StatusDetails): string {
  const { reason, metadata, retryAfterMs } = details;
  const parts: Any[] = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: DOMAIN, metadata: { ...metadata } })),
  ];
  if (retryAfterMs !== undefined) {
    const retryDelay = create(DurationSchema, {
      seconds: BigInt(Math.floor(retryAfterMs / 1000)),
      nanos: (retryAfterMs % 1000) * 1_000_000,
    });
    parts.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code: status, message, details: parts }));
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}

/** Decodes a `grpc-status-details-bin` header; undefined for anything that is not what {@link encodeDetails} makes. */
export function decodeDetails(header: string): StatusDetails | undefined {
  try {
    const { details } = fromBinary(StatusSchema, Buffer.from(header, 'base64'));
    let info: ErrorInfo | undefined;
    let retryAfterMs: number | undefined;
    for (const any of details) {
      info ??= anyUnpack(any, ErrorInfoSchema);
      const retry = anyUnpack(any, RetryInfoSchema);
      if (retry?.retryDelay) {
        retryAfterMs = Number(retry.retryDelay.seconds) * 1000 + retry.retryDelay.nanos / 1_000_000;
      }
    }
    if (!info) return undefined;
    const { reason, metadata } = info;
    return { reason, metadata, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  } catch {
    return undefined; // a server of another make may put anything there; its status number still counts
  }
}

/** Percent-encodes a status message for the `grpc-message` header. */
export function encodeMessage(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Undoes {@link encodeMessage}; stray percent signs stay as they are. */
export function decodeMessage(header: string): string {
  if (!header.includes('%')) return header;
  const bytes: number[] = [];
  for (let at = 0; at < header.length; at++) {
    const hex = header[at] === '%' ? header.slice(at + 1, at + 3) : '';
    if (/^[0-9A-Fa-f]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else bytes.push(...Buffer.from(header[at] ?? '', 'utf8'));
  }
  return Buffer.from(bytes).toString('utf8');
}
