/**
 * Where the processor time of one public decryption goes: each step as measured alone, and the rest that no step
 * explains (dispatch, promises, garbage collection, system calls of the answer).
 */
import type { Figures } from './figures.ts';

/** What a process does for one public decryption, under the names of the steps; some twice. */
const PARTS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  core: {
    http2: ['step.transport.http2'],
    protobuf: ['step.protobuf.decodeRequest'],
    validation: ['step.validate.public'],
    requestDigest: ['step.core.requestDigest'],
    sqlite: ['step.core.sqlite.inFlight16'],
  },
  engine: {
    frames: ['step.transport.frames'],
    protobuf: ['step.protobuf.decodeRequest', 'step.protobuf.encodeResponse'],
    validation: ['step.validate.public'],
    decryption: ['step.native.publicDecrypt'],
    hashing: ['step.engine.eip712Digest', 'step.engine.encodePayload'],
    signatures: ['step.native.signature', 'step.native.signature'],
  },
};

const LOAD = 'public.bigCompressed.euint64.inFlight16.cpu';

/** Adds the shares of both processes at 16 calls in flight. Everything they are made of must have been measured. */
export function addWhere(figures: Figures): void {
  const values = new Map(figures.all().map(({ name, value }) => [name, value]));
  for (const [process, parts] of Object.entries(PARTS)) {
    const total = 1000 * (values.get(`${LOAD}.${process}Ms`) ?? Number.NaN);
    let rest = total;
    const add = (name: string, value: number) => {
      const note = `${Math.round((100 * value) / total)} % of ${Math.round(total)} µs`;
      figures.add({ name: `where.public.${process}.${name}`, value, unit: 'µs', note });
    };
    for (const [part, steps] of Object.entries(parts)) {
      const value = steps.reduce((sum, step) => sum + (values.get(step) ?? Number.NaN), 0);
      rest -= value;
      add(part, value);
    }
    add('rest', rest);
  }
}
