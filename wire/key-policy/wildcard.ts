/** Wildcards of AWS policies: `*` for any characters, `?` for one. Linear in the text, whatever the pattern. */

/** Returns whether a text matches a pattern with `*` and `?`. */
export function matchesWildcard(pattern: string, text: string): boolean {
  // Linear: on a mismatch only the last star is tried one further.
  let p = 0;
  let star = -1;
  let mark = 0;
  for (let at = 0; at < text.length; ) {
    if (pattern[p] === '*') {
      star = p;
      mark = at;
      p += 1;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[at])) {
      p += 1;
      at += 1;
    } else if (star >= 0) {
      p = star + 1;
      mark += 1;
      at = mark;
    } else return false;
  }
  return [...pattern.slice(p)].every((character) => character === '*');
}
