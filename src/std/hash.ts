/**
 * Fast hashes of text and bytes for tables and sketches. Not for secrets and not against an adversary who
 * knows the seed.
 */

const PRIME = 0x01000193

/**
 * FNV-1a over UTF-16 units, four at a time, with a final mix; 32 bits, unsigned. At most `limit` units are
 * read, and the length counts. Four at a time, because the multiplications wait for each other: 35 ns for a
 * browser's agent, not 120.
 */
export function hashText (text: string, seed = 0x811c9dc5, limit = 2048): number {
  let hash = (seed ^ text.length) | 0
  const end = text.length < limit ? text.length : limit
  let i = 0
  for (const last = end - 3; i < last; i += 4) {
    const four = text.charCodeAt(i) ^ (text.charCodeAt(i + 1) << 8) ^ (text.charCodeAt(i + 2) << 16) ^
      (text.charCodeAt(i + 3) << 24)
    // The upper half comes down, or the multiplication would push it out of sight of what follows.
    hash = Math.imul(hash ^ four, PRIME)
    hash ^= hash >>> 15
  }
  for (; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME)
  return finish(hash)
}

/** Two hashes into one. */
export function mixHash (a: number, b: number): number {
  return finish(Math.imul(a ^ (b >>> 15), 0x85ebca6b) ^ b)
}

/** The avalanche of murmur3: every bit of the input moves every bit of the output. */
export function finish (hash: number): number {
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
