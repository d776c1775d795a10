/** Extra data: when it counts as empty, and what its version 2 names. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { effectiveExtraData, encodeExtraDataV2 } from '../../../wire/extra-data.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';

const NONE = new Uint8Array(0);

t.test('v0 extra data count as empty only behind the switch', async (t) => {
  t.equal(effectiveExtraData(Uint8Array.of(0), true).byteLength, 0);
  for (const [bytes, on] of [
    [Uint8Array.of(0), false],
    [Uint8Array.of(0, 0), true],
    [Uint8Array.of(1), true],
    [NONE, true],
  ] as const) {
    t.equal(effectiveExtraData(bytes, on), bytes, `${toHex(bytes)} ${on}`);
  }
});

t.test('extra data of version 2 name context and epoch', async (t) => {
  t.equal(toHex(encodeExtraDataV2()), `02${DEFAULT_CONTEXT_ID}${DEFAULT_EPOCH_ID}`);
});
