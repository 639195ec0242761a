import { hashText } from '../std/hash.ts'

/**
 * Which place an id has, of a fixed number of places that are used again and again.
 *
 * Why not a Map: V8 takes each text that is a map's key into its table of texts, and lets go of it at the next
 * collection; 2 us for each receipt. Here an id is compared where somebody asks for one.
 */
interface IdIndex {
  /** The place must be clear. */
  put (place: number, id: string): void
  clear (place: number): void
  /** -1 for an id that has none; of several the one that was put last. */
  placeOf (id: string): number
  /** Whether the id of this place has no later one. */
  isLatest (place: number): boolean
}

const NONE = -1

export function createIdIndex (places: number): IdIndex {
  const buckets = 2 ** Math.ceil(Math.log2(places * 2))
  /** The place that was put last, by the id's hash; and behind each the one that was put before it there. */
  const latest = new Int32Array(buckets).fill(NONE)
  const before = new Int32Array(places).fill(NONE)
  const ids = new Array<string>(places).fill('')

  const bucketOf = (id: string): number => hashText(id) & (buckets - 1)

  function placeOf (id: string): number {
    let place = latest[bucketOf(id)] as number
    while (place !== NONE && ids[place] !== id) place = before[place] as number
    return place
  }

  return {
    put (place, id) {
      const bucket = bucketOf(id)
      ids[place] = id
      before[place] = latest[bucket] as number
      latest[bucket] = place
    },
    clear (place) {
      const bucket = bucketOf(ids[place] as string)
      if (latest[bucket] === place) latest[bucket] = before[place] as number
      else {
        let behind = latest[bucket] as number
        while (before[behind] !== place) behind = before[behind] as number
        before[behind] = before[place] as number
      }
      ids[place] = ''
      before[place] = NONE
    },
    placeOf,
    isLatest: (place) => placeOf(ids[place] as string) === place
  }
}
