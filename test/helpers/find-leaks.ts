/**
 * Looks for secret bytes in a text, in every form in which a program may have printed them: hexadecimal, Base64,
 * decimal lists, raw. A piece of eight bytes is enough to be found.
 */

/** Bytes that must not be in the text. */
export interface Secret {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const PIECE_BYTES = 8;

/**
 * Returns a sentence for each secret of which a piece stands in the text.
 *
 * @param known - Bytes that anyone may know; a piece that stands in them is no leak.
 */
export function findLeaks(text: string, secrets: readonly Secret[], known: Uint8Array = new Uint8Array()): string[] {
  const owners = new Map<string, string>();
  for (const { name, bytes } of secrets) {
    for (const piece of piecesOf(Buffer.from(bytes))) if (!isPlain(piece)) owners.set(piece.toString('latin1'), name);
  }
  const open = Buffer.from(known);
  const leaks = new Set<string>();
  for (const [form, bytes] of printedBytes(text)) {
    for (const piece of piecesOf(bytes)) {
      const owner = owners.get(piece.toString('latin1'));
      if (owner !== undefined && !open.includes(piece)) leaks.add(`${owner} as ${form}`);
    }
  }
  return [...leaks];
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at + PIECE_BYTES <= bytes.length; at++) yield bytes.subarray(at, at + PIECE_BYTES);
}

/** Yields what runs of digits and letters in a text stand for, with the name of the form. */
function* printedBytes(text: string): Generator<[string, Buffer]> {
  for (const [run] of text.matchAll(/[0-9a-fA-F]{16,}/g)) {
    yield ['hex', Buffer.from(run, 'hex')];
    yield ['hex', Buffer.from(run.slice(1), 'hex')];
  }
  for (const [run] of text.matchAll(/[A-Za-z0-9+/_-]{12,}/g)) {
    for (let skip = 0; skip < 4; skip++) yield ['Base64', Buffer.from(run.slice(skip), 'base64')];
  }
  for (const [run] of text.matchAll(/\d{1,3}(?:"?[,:]\s*"?\d{1,3}){7,}/g)) {
    const numbers = run.match(/\d+/g)?.map(Number) ?? [];
    if (numbers.every((number) => number < 256)) yield ['decimal list', Buffer.from(numbers)];
    // {"0":12,"1":34,…}: how a byte array looks in JSON.
    yield ['JSON object', Buffer.from(numbers.filter((_, index) => index % 2 === 1))];
  }
  yield ['raw bytes', Buffer.from(text, 'latin1')];
}

/** Runs of one byte and short counters stand anywhere. */
function isPlain(piece: Uint8Array): boolean {
  return new Set(piece).size < 4;
}
