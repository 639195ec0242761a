import { setFlagsFromString } from 'node:v8'

/** The first V8 that knows the flag by this meaning (Node 25). */
const V8_MAJOR_MIN = 14

/**
 * Bodies live outside the heap. As shipped, every 80 MB of them, long dead or not, make V8 collect all of its memory: a
 * flood of 64 KiB bodies did that 3 to 5 times a second, 10 to 20 ms each on the event loop. Counted with the heap, they
 * go with the young generation, and all of memory is collected when it has grown. To be called once, before requests come.
 */
export function countBodiesWithHeap (v8 = process.versions.v8): void {
  if (Number.parseInt(v8) >= V8_MAJOR_MIN) setFlagsFromString('--external-memory-accounted-in-global-limit')
}
