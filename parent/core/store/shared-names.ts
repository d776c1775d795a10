/**
 * Names that thousands of requests have in common, kept once: each request brings its own copy of them.
 */

/** Most names kept. A request names what exists, but nobody counts on it here. */
const MOST = 256;

/** See the file comment. */
export class SharedNames {
  readonly #names = new Map<string, string>();

  /** Returns a request with the copies of its context's and epoch's names that others have, too. */
  shared<T extends { readonly contextId: string; readonly epochId: string }>(request: T): T {
    return { ...request, contextId: this.#name(request.contextId), epochId: this.#name(request.epochId) };
  }

  #name(name: string): string {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    if (this.#names.size >= MOST) this.#names.clear();
    this.#names.set(name, name);
    return name;
  }
}
