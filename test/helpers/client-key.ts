/** The file that `arca import` takes: the tfhe library's own serialization of a client key. */
import type { FheKey } from '../../native/engine/index.ts';

/** Returns what lies in the object of a whole key (docs/formats/private-objects.md). */
export function clientKeyOf(key: FheKey): Uint8Array {
  const object = key.encode(new Uint8Array());
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  let at = 8 + 3 + 4 + 8 + 3 + 8 + 'arca::FhePrivateKey'.length + 5 * 4;
  at += 8 + Number(view.getBigUint64(at, true));
  return object.slice(at + 8, at + 8 + Number(view.getBigUint64(at, true)));
}
