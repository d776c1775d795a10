/**
 * Frames of the link between Core and engine: `u32le length | u8 kind | u32le call id | payload`, where length
 * counts everything after itself. Bodies are written and read without copying where the stream allows it.
 *
 * Both ends are untrusted by the other: lengths are bounded by kind before anything is allocated.
 */
import { KmsError } from '../common/errors.ts';
import { takeRoom } from '../common/room.ts';

/** Raised with every change that an older peer could not read; both ends must agree. */
export const LINK_PROTOCOL_VERSION = 1;

/** What a frame is; the payload of each kind stands behind it. */
export const FRAME_KIND = {
  /** Method, engine.v1.CallHead, raw body: see {@link encodeCall}. */
  call: 1,
  /** Raw body: the call is done. */
  result: 2,
  /** engine.v1.CallError: the call failed, or the object could not be stored. */
  error: 3,
  /** engine.v1.Progress. */
  progress: 4,
  /** engine.v1.ObjectStart. */
  objectStart: 5,
  /** Raw bytes of the object under way, at most {@link MAX_CHUNK_BYTES}. */
  objectChunk: 6,
  /** engine.v1.ObjectEnd. */
  objectEnd: 7,
  /** Empty: the caller no longer wants the call. */
  cancel: 8,
  /** engine.v1.Hello: the first frame in both directions, call id 0. */
  hello: 9,
  /** Empty: the object is durably stored. */
  objectStored: 10,
} as const;
export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND];

/** What a call asks for. */
export const ENGINE_METHOD = {
  /** Empty → engine.v1.EngineInfo. */
  describe: 1,
  /** kms.v1.PublicDecryptionRequest → kms.v1.PublicDecryptionResponse. */
  publicDecrypt: 2,
  /** kms.v1.UserDecryptionRequest → kms.v1.UserDecryptionResponse. */
  userDecrypt: 3,
  /** kms.v1.KeyGenPreprocRequest → kms.v1.KeyGenPreprocResult. */
  keyGenPreproc: 4,
  /** engine.v1.KeyGenCall → kms.v1.KeyGenResult, objects on the way. */
  keyGen: 5,
  /** engine.v1.CrsGenCall → kms.v1.CrsGenResult, one object on the way. */
  crsGen: 6,
  /** Empty → engine.v1.EngineStatus. */
  status: 7,
  /** engine.v1.AttestCall → engine.v1.AttestResult. */
  attest: 8,
  /** engine.v1.GovernanceObject → engine.v1.GovernanceState. */
  governancePut: 9,
  /** Empty → engine.v1.GovernanceState. */
  governanceState: 10,
  /** engine.v1.ApprovalCall → empty, or APPROVAL_MISSING. */
  requireApproval: 11,
  /** Empty → engine.v1.PeerTable. */
  peers: 12,
  /** kms.v1.NewMpcContextRequest → empty. Threshold nodes only, as are those below. */
  newContext: 13,
  /** kms.v1.DestroyMpcContextRequest → kms.v1.DestroyMpcContextResponse. */
  destroyContext: 14,
  /** kms.v1.NewMpcEpochRequest → empty, once the set-up is done and stored. */
  newEpoch: 15,
  /** kms.v1.DestroyMpcEpochRequest → empty. */
  destroyEpoch: 16,
  /** engine.v1.ReachCall → engine.v1.ReachResult. */
  reach: 17,
  /** kms.v1.BandwidthBenchmarkRequest → kms.v1.BandwidthBenchmarkResponse. */
  bandwidth: 18,
  /** Empty → engine.v1.VaultStatus. */
  vaultStatus: 23,
  /** engine.v1.QuorumRestartCall → empty; of a party of a quorum whose vault is sealed. */
  quorumRestart: 24,
  /** Empty → engine.v1.BackupState. */
  backupState: 26,
  /** Empty → engine.v1.BackupReport. */
  backupVerify: 27,
  /** engine.v1.RestoreCall → engine.v1.RestoreReport. */
  restore: 28,
  /** engine.v1.DrillCall → engine.v1.BackupDrill. */
  backupDrill: 29,
  /** kms.v1.NewCustodianContextRequest → empty, once the backup is complete under it. */
  newCustodianContext: 30,
  /** kms.v1.DestroyCustodianContextRequest → empty. */
  destroyCustodianContext: 31,
  /** Empty → kms.v1.OperatorPublicKey. */
  operatorPublicKey: 32,
  /** kms.v1.CustodianRecoveryInitRequest → kms.v1.RecoveryRequest. */
  recoveryInit: 33,
  /** engine.v1.RecoveryDocumentCall → engine.v1.RecoveryDocument. */
  recoveryDocument: 34,
  /** kms.v1.CustodianRecoveryRequest → engine.v1.CustodianRecovery. */
  custodianRecovery: 35,
  /** Empty → engine.v1.CustodianContexts. */
  custodianContexts: 36,
  /** Empty → engine.v1.RewrapReport. */
  rewrapVault: 37,
} as const;
export type EngineMethod = (typeof ENGINE_METHOD)[keyof typeof ENGINE_METHOD];

const METHODS: ReadonlySet<number> = new Set(Object.values(ENGINE_METHOD));

/** Largest value of the length field. */
export const MAX_FRAME_BYTES = 128 * 1024 * 1024;
/** Largest piece of an object in one frame. */
export const MAX_CHUNK_BYTES = 1024 * 1024;
/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 9;

const AFTER_LENGTH_BYTES = FRAME_HEADER_BYTES - 4;
const CALL_PREFIX_BYTES = 6;
const MAX_CONTROL_BYTES = 64 * 1024;

/** Largest payload of each kind, by kind number; undefined is a kind that does not exist. */
const MAX_PAYLOAD: readonly (number | undefined)[] = [
  undefined,
  MAX_FRAME_BYTES - AFTER_LENGTH_BYTES,
  MAX_FRAME_BYTES - AFTER_LENGTH_BYTES,
  MAX_CONTROL_BYTES,
  MAX_CONTROL_BYTES,
  MAX_CONTROL_BYTES,
  MAX_CHUNK_BYTES,
  MAX_CONTROL_BYTES,
  0,
  MAX_CONTROL_BYTES,
  0,
];

/** One frame as it came. The payload may be a view into the received chunk: copy what outlives the call. */
export interface Frame {
  readonly kind: FrameKind;
  readonly callId: number;
  readonly payload: Uint8Array;
}

/** The parts of a call frame's payload, as views into it. */
export interface CallPayload {
  readonly method: EngineMethod;
  /** engine.v1.CallHead. */
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/**
 * Returns a frame as the buffers to write in turn: a fresh header, and the payload itself, not copied.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the payload is larger than its kind allows.
 */
export function encodeFrame(kind: Exclude<FrameKind, 1>, callId: number, payload?: Uint8Array): Uint8Array[] {
  const sizeBytes = payload?.byteLength ?? 0;
  checkPayloadSize(kind, sizeBytes);
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  writeHeader(header, kind, callId, sizeBytes);
  return payload === undefined || sizeBytes === 0 ? [header] : [header, payload];
}

/**
 * Returns a call frame as the buffers to write in turn: header, method and head in one fresh buffer, then the body
 * itself, not copied; or all of it in one, if the body has room in front.
 *
 * @param head - Encoded engine.v1.CallHead, at most 64 KiB.
 * @throws {@link KmsError} `REQUEST_INVALID` if head or body are too large.
 */
export function encodeCall(callId: number, method: EngineMethod, head: Uint8Array, body: Uint8Array): Uint8Array[] {
  if (head.byteLength > MAX_CONTROL_BYTES) throw invalid('call head is too large', { sizeBytes: head.byteLength });
  const sizeBytes = CALL_PREFIX_BYTES + head.byteLength + body.byteLength;
  checkPayloadSize(FRAME_KIND.call, sizeBytes);
  const firstBytes = FRAME_HEADER_BYTES + CALL_PREFIX_BYTES + head.byteLength;
  const whole = takeRoom(body, firstBytes);
  const first = whole ?? new Uint8Array(firstBytes);
  writeHeader(first, FRAME_KIND.call, callId, sizeBytes);
  const view = viewOf(first);
  view.setUint16(FRAME_HEADER_BYTES, method, true);
  view.setUint32(FRAME_HEADER_BYTES + 2, head.byteLength, true);
  first.set(head, FRAME_HEADER_BYTES + CALL_PREFIX_BYTES);
  return whole || body.byteLength === 0 ? [first] : [first, body];
}

/**
 * Splits the payload of a call frame.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for an unknown method or a head that does not fit.
 */
export function parseCallPayload(payload: Uint8Array): CallPayload {
  if (payload.byteLength < CALL_PREFIX_BYTES) throw invalid('call frame is cut', { sizeBytes: payload.byteLength });
  const view = viewOf(payload);
  const method = view.getUint16(0, true);
  if (!isMethod(method)) throw invalid('unknown engine method', { method });
  const headBytes = view.getUint32(2, true);
  if (headBytes > MAX_CONTROL_BYTES || headBytes > payload.byteLength - CALL_PREFIX_BYTES) {
    throw invalid('call head does not fit its frame', { headBytes });
  }
  const bodyAt = CALL_PREFIX_BYTES + headBytes;
  return { method, head: payload.subarray(CALL_PREFIX_BYTES, bodyAt), body: payload.subarray(bodyAt) };
}

/** What stands before a payload. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly callId: number;
  readonly payloadBytes: number;
}

/**
 * Reads a frame's header of {@link FRAME_HEADER_BYTES}.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for an unknown kind or a length out of its bounds.
 */
export function parseFrameHeader(header: Uint8Array): FrameHeader {
  const view = viewOf(header);
  const payloadBytes = view.getUint32(0, true) - AFTER_LENGTH_BYTES;
  const kind = view.getUint8(4);
  if (!isKind(kind)) throw invalid('unknown frame kind', { kind });
  checkPayloadSize(kind, payloadBytes);
  return { kind, callId: view.getUint32(5, true), payloadBytes };
}

function writeHeader(into: Uint8Array, kind: FrameKind, callId: number, payloadBytes: number): void {
  const view = viewOf(into);
  view.setUint32(0, AFTER_LENGTH_BYTES + payloadBytes, true);
  view.setUint8(4, kind);
  view.setUint32(5, callId, true);
}

function checkPayloadSize(kind: FrameKind, sizeBytes: number): void {
  const max = MAX_PAYLOAD[kind] ?? 0;
  if (sizeBytes < 0 || sizeBytes > max) throw invalid('frame length is out of bounds', { kind, sizeBytes, max });
}

function isKind(kind: number): kind is FrameKind {
  return MAX_PAYLOAD[kind] !== undefined;
}

function isMethod(method: number): method is EngineMethod {
  return METHODS.has(method);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function invalid(message: string, facts: Record<string, number> = {}): KmsError {
  return new KmsError('REQUEST_INVALID', message, facts);
}
