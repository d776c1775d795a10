/**
 * Makes content smaller where the caller allows it and it is worthwhile. SECRET: the content.
 *
 * Sizes tell: what is compressed shows how predictable it is, so keys and shares never are. Copies that zstd keeps in
 * native memory are freed and not overwritten (docs/formats/sealed-object.md).
 */
import { constants, createZstdCompress, createZstdDecompress, zstdCompressSync } from 'node:zlib';
import { CHUNK_BYTES } from './secret-stream.ts';

const LEVEL = 3;
/** 2^21 = 2 MiB: the window that level 3 uses at most; more is refused when expanding. */
const WINDOW_LOG = 21;
/** Of a first chunk at least an eighth has to go. */
const WORTHWHILE = 7 / 8;
const COMPRESS = {
  [constants.ZSTD_c_compressionLevel]: LEVEL,
  [constants.ZSTD_c_windowLog]: WINDOW_LOG,
  [constants.ZSTD_c_checksumFlag]: 0,
};

/** Returns whether a beginning becomes enough smaller. */
export function isWorthwhile(beginning: Uint8Array): boolean {
  const smaller = zstdCompressSync(beginning, { params: COMPRESS });
  smaller.fill(0);
  return smaller.length <= beginning.length * WORTHWHILE;
}

/** Compresses; pieces are overwritten once the next is asked for. */
export const compress = (content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> =>
  through(
    () => createZstdCompress({ chunkSize: CHUNK_BYTES, params: COMPRESS }),
    content,
    (cause) => cause,
  );

/**
 * Expands; pieces are overwritten once the next is asked for.
 *
 * @param malformed - Makes the failure for what zstd refuses, or what it finds cut.
 */
export function expand(
  content: AsyncIterable<Uint8Array>,
  malformed: (cause: unknown) => unknown,
): AsyncGenerator<Uint8Array, void> {
  const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };
  return through(() => createZstdDecompress({ chunkSize: CHUNK_BYTES, params }), content, malformed);
}

type Transform = ReturnType<typeof createZstdCompress> | ReturnType<typeof createZstdDecompress>;

async function* through(
  create: () => Transform,
  content: AsyncIterable<Uint8Array>,
  failed: (cause: unknown) => unknown,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const transform = create();
  let broken: { readonly cause: unknown } | undefined;
  const fed = feed(transform, content).catch((cause: unknown) => {
    // What zstd refuses arrives by the loop below as well, and there first.
    if (!transform.errored) broken = { cause };
    transform.destroy();
  });
  try {
    for await (const piece of transform) {
      yield piece;
      piece.fill(0);
    }
  } catch (error) {
    await fed;
    throw broken === undefined ? failed(error) : broken.cause;
  } finally {
    transform.destroy();
    await fed;
  }
}

/** Writes one piece after the other, each only when the one before was taken; stops once nobody reads any more. */
async function feed(transform: Transform, content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of content) {
    await new Promise<void>((resolve, reject) => {
      // A write under way is never answered once the transform is destroyed.
      transform.once('close', resolve);
      transform.write(piece, (error) => {
        transform.off('close', resolve);
        if (error) reject(error);
        else resolve();
      });
    });
    if (transform.destroyed) return;
  }
  transform.end();
}
