/**
 * The platform configuration registers of a software security module: SHA-384, extend-only, lockable. All public.
 */
import { createHash } from 'node:crypto';
import { nsmError } from '../attester/nsm-codec.ts';
import type { NsmError } from '../attester/nsm-messages.ts';

/** Bytes of every register. */
export const PCR_BYTES = 48;

/** Returns a register that was never extended. */
export function zeroPcr(): Uint8Array {
  return new Uint8Array(PCR_BYTES);
}

/** Returns the value of a register after one extension: SHA-384(value ‖ data). */
export function extendedPcr(value: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha384').update(value).update(data).digest());
}

interface Register {
  value: Uint8Array;
  locked: boolean;
}

/** How many registers there are, what stands in the fixed ones, and how many of them are locked from the start. */
export interface RegisterLayout {
  readonly count: number;
  /** The registers 0 … fixed − 1 are locked from the start. */
  readonly fixed: number;
  /** What stands in the registers at the start; zero where nothing is given. */
  readonly values: ReadonlyMap<number, Uint8Array>;
}

/** A bank of registers; refusals are those of the device. */
export class Registers {
  readonly #registers: Register[];

  /** @throws RangeError if a value is no register's: wrong index or wrong size. */
  constructor({ count, fixed, values }: RegisterLayout) {
    this.#registers = Array.from({ length: count }, (_, index) => ({ value: zeroPcr(), locked: index < fixed }));
    for (const [index, value] of values) this.replace(index, value);
  }

  get count(): number {
    return this.#registers.length;
  }

  /** Sets a register whether it is locked or not: for the owner of the module, never for who asks it. */
  replace(index: number, value: Uint8Array): void {
    const register = this.#registers[index];
    if (register === undefined || value.byteLength !== PCR_BYTES)
      throw new RangeError(`register ${index} is no register`);
    register.value = Uint8Array.from(value);
  }

  describe(index: number): Register | NsmError {
    return this.#registers[index] ?? nsmError('InvalidIndex');
  }

  extend(index: number, data: Uint8Array): Uint8Array | NsmError {
    const register = this.#registers[index];
    if (register === undefined) return nsmError('InvalidIndex');
    if (register.locked) return nsmError('ReadOnlyIndex');
    register.value = extendedPcr(register.value, data);
    return register.value;
  }

  lock(index: number): NsmError | undefined {
    const register = this.#registers[index];
    if (register === undefined) return nsmError('InvalidIndex');
    if (register.locked) return nsmError('ReadOnlyIndex');
    register.locked = true;
    return undefined;
  }

  lockFirst(range: number): NsmError | undefined {
    if (range > this.#registers.length) return nsmError('InvalidIndex');
    for (const register of this.#registers.slice(0, range)) register.locked = true;
    return undefined;
  }

  /** Returns the locked registers, ascending: the ones that a document shows. */
  locked(): ReadonlyMap<number, Uint8Array> {
    const shown = new Map<number, Uint8Array>();
    for (const [index, { value, locked }] of this.#registers.entries()) if (locked) shown.set(index, value);
    return shown;
  }
}
