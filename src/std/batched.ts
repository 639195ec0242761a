/**
 * Questions that are asked one by one in the same turn, as one: of a list of a hundred documents each may ask for
 * another, and that is one more read, not a hundred.
 *
 * @param load of different keys, `keysMax` at most; a key that it leaves out has no value. Where it fails it fails for
 * all who asked, so no key of a caller's own making may be what it fails for
 */
export function createBatched<K, V> (
  load: (keys: K[]) => Promise<ReadonlyMap<K, V>>,
  { keysMax }: { keysMax: number }
): (key: K) => Promise<V | undefined> {
  let batch: { keys: Set<K>, found: Promise<ReadonlyMap<K, V>> } | null = null

  function open (): { keys: Set<K>, found: Promise<ReadonlyMap<K, V>> } {
    const keys = new Set<K>()
    const found = new Promise<ReadonlyMap<K, V>>((resolve, reject) => {
      // Behind every promise that is settled by now: the resolvers of one list have all been called then.
      process.nextTick(() => queueMicrotask(() => {
        if (batch?.keys === keys) batch = null
        load([...keys]).then(resolve, reject)
      }))
    })
    return { keys, found }
  }

  return async (key) => {
    if (batch === null || batch.keys.size >= keysMax) batch = open()
    batch.keys.add(key)
    return (await batch.found).get(key)
  }
}
