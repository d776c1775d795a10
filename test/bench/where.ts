/**
 * Where the processor time of one public decryption goes, alone and in a quorum: each step as measured alone, and the rest
 * that no step explains (dispatch, promises, garbage collection, system calls of the answer).
 */
import type { Figures } from './figures.ts';

/** What processes do for one public decryption: parts by process, each of steps by their names, some of them twice. */
type Parts = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

const SIGNED_ANSWER = {
  hashing: ['step.engine.eip712Digest', 'step.engine.encodePayload'],
  signatures: ['step.native.signature', 'step.native.signature'],
};

const CORE = {
  http2: ['step.transport.http2'],
  protobuf: ['step.protobuf.decodeRequest'],
  validation: ['step.validate.public'],
  requestDigest: ['step.core.requestDigest'],
  sqlite: ['step.core.sqlite.inFlight16'],
};

const ENGINE = {
  frames: ['step.transport.frames'],
  protobuf: ['step.protobuf.decodeRequest', 'step.protobuf.encodeResponse'],
  validation: ['step.validate.public'],
};

/** Of each load, the figures of its processor time in front of the processes' names, and what is done. */
const LOADS: Readonly<Record<string, { readonly cpu: string; readonly parts: Parts }>> = {
  'where.public': {
    cpu: 'public.bigCompressed.euint64.inFlight16.cpu',
    parts: { core: CORE, engine: { ...ENGINE, decryption: ['step.native.publicDecrypt'], ...SIGNED_ANSWER } },
  },
  // Frames of peers come as one frame of each peer for a call: fewer under more load.
  'where.quorumOf4.public': {
    cpu: 'quorum.of4.default.public.euint64.inFlight48.cpu',
    parts: {
      core: CORE,
      engine: {
        ...ENGINE,
        requestName: ['step.engine.requestName'],
        partialDecryption: ['kernel.partialDecrypt.of4'],
        opening: ['kernel.open.of4'],
        peerFrames: Array.from({ length: 3 }, () => ['step.peerFrame.send', 'step.peerFrame.receive']).flat(),
        ...SIGNED_ANSWER,
      },
    },
  },
};

/** Adds the shares of both processes of each load whose parts were measured. */
export function addWhere(figures: Figures): void {
  for (const [name, { cpu, parts }] of Object.entries(LOADS)) {
    for (const [process, steps] of Object.entries(parts))
      addParts(figures, `${name}.${process}`, `${cpu}.${process}Ms`, steps);
  }
}

function addParts(figures: Figures, name: string, cpu: string, parts: Parts[string]): void {
  const values = new Map(figures.all().map((figure) => [figure.name, figure.value]));
  const total = 1000 * (values.get(cpu) ?? Number.NaN);
  const sums = Object.entries(parts).map(([part, steps]) => {
    return [part, steps.reduce((sum, step) => sum + (values.get(step) ?? Number.NaN), 0)] as const;
  });
  const rest = sums.reduce((left, [, value]) => left - value, total);
  if (Number.isNaN(rest)) return;
  for (const [part, value] of [...sums, ['rest', rest] as const]) {
    const note = `${Math.round((100 * value) / total)} % of ${Math.round(total)} µs`;
    figures.add({ name: `${name}.${part}`, value, unit: 'µs', note });
  }
}
