/**
 * Memory for large bodies, used again: V8 collects all of its memory for every 80 MB of buffers, dead or not,
 * so that a flood of 64 KiB bodies, joined from pieces each time, held up the event loop several times a
 * second.
 *
 * Bounded: what is lent beyond KEPT_MAX is left to the collector when it comes back. A buffer that never
 * comes back (its client left before it was scored) is left to it too.
 */
interface BodyPool {
  /** Room for `bytes`, with whatever was there before. Null when it is no large body. */
  take (bytes: number): Buffer | null
  /**
   * Takes back what was lent, or a part of it from its beginning; ignores everything else. Nobody may look at
   * it afterwards.
   */
  give (body: Buffer | null): void
}

/** Of the least body that is worth it, and of the largest that the gate reads from anybody. */
export const POOLED_BYTES_MIN = 16_384
const BUFFER_BYTES = 65_536
/** 4 MiB at most. */
const KEPT_MAX = 64

export function createBodyPool (): BodyPool {
  const kept: Buffer[] = []
  const lent = new WeakSet<ArrayBufferLike>()
  return {
    take (bytes) {
      if (!(bytes >= POOLED_BYTES_MIN && bytes <= BUFFER_BYTES)) return null
      const buffer = kept.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
      lent.add(buffer.buffer)
      return buffer
    },
    give (body) {
      // Given back twice, it would be lent to two.
      if (body === null || !lent.delete(body.buffer) || kept.length >= KEPT_MAX) return
      kept.push(Buffer.from(body.buffer as ArrayBuffer))
    }
  }
}

declare module 'fastify' {
  interface FastifyInstance { bodies: BodyPool }
}
