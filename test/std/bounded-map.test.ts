import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { BoundedMap } from '../../src/std/bounded-map.ts'

/** What the map promises, said slowly: entries from the oldest to the newest. */
class NaiveMap {
  entries: Array<[number, number]> = []
  readonly max: number
  constructor (max: number) { this.max = max }

  set (key: number, value: number): void {
    this.delete(key)
    if (this.entries.length >= this.max) this.entries.shift()
    this.entries.push([key, value])
  }

  get (key: number): number | undefined { return this.entries.find(([held]) => held === key)?.[1] }

  use (key: number): number | undefined {
    const value = this.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }

  getOrInsert (key: number, value: number): number {
    const held = this.get(key)
    if (held === undefined) this.set(key, value)
    return held ?? value
  }

  delete (key: number): boolean {
    const before = this.entries.length
    this.entries = this.entries.filter(([held]) => held !== key)
    return this.entries.length < before
  }

  clear (): void { this.entries = [] }
}

type Step = { verb: 'set' | 'use' | 'get' | 'delete' | 'clear' | 'insert', key: number, value: number }

const steps = fc.array(fc.record<Step>({
  // Clearing seldom, or no map would ever be full.
  verb: fc.oneof({ weight: 40, arbitrary: fc.constantFrom('set', 'use', 'get', 'delete', 'insert') }, { weight: 1, arbitrary: fc.constant('clear') }),
  key: fc.integer({ min: 0, max: 15 }),
  value: fc.integer({ min: 0, max: 1_000 })
}), { minLength: 1, maxLength: 200 })

function apply (map: NaiveMap | BoundedMap<number, number>, { verb, key, value }: Step): unknown {
  switch (verb) {
    case 'set': map.set(key, value); return undefined
    case 'use': return map.use(key)
    case 'get': return map.get(key)
    case 'insert': return map.getOrInsert(key, value)
    case 'delete': return map.delete(key)
    case 'clear': map.clear(); return undefined
  }
}

t.test('it answers, holds and evicts like a naive list, whatever is done to it', (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), steps, (max, steps) => {
    const [map, naive] = [new BoundedMap<number, number>(max), new NaiveMap(max)]
    for (const step of steps) {
      if (apply(map, step) !== apply(naive, step)) return false
      if (JSON.stringify([...map]) !== JSON.stringify(naive.entries)) return false
    }
    return true
  }), { numRuns: 3_000 })
  t.end()
})

t.test('the oldest goes first; set again or used, an entry is the newest; reading leaves it where it was', (t) => {
  const map = new BoundedMap<string, number>(3)
  for (const key of ['a', 'b', 'c']) map.set(key, 1)
  map.set('a', 2)
  map.get('b')
  map.set('d', 1)
  t.same([...map.keys()], ['c', 'a', 'd'], 'b was read, not used')
  t.equal(map.use('c'), 1)
  map.set('e', 1)
  t.same([...map.keys()], ['d', 'c', 'e'])
  t.equal(map.use('nobody'), undefined)
  t.equal(map.size, 3, 'using what is not there adds nothing')
  t.end()
})

t.test('one entry is a bound too', (t) => {
  const map = new BoundedMap<string, number>(1)
  for (const key of ['a', 'b', 'b', 'c']) map.set(key, 1)
  t.same([...map], [['c', 1]])
  t.end()
})

t.test('after clear it evicts from its new front, also when evictions came before', (t) => {
  const map = new BoundedMap<number, number>(4)
  for (let i = 0; i < 10; i++) map.set(i, i)
  map.clear()
  t.equal(map.size, 0)
  for (let i = 20; i < 26; i++) map.set(i, i)
  t.same([...map.keys()], [22, 23, 24, 25])
  t.end()
})

t.test("Map's own ways to insert keep the bound", (t) => {
  const map = new BoundedMap<number, number>(2)
  for (let i = 0; i < 5; i++) t.equal(map.getOrInsertComputed(i, (key) => key * 10), i * 10)
  t.equal(map.getOrInsert(4, 7), 40, 'what is there stays')
  t.same([...map], [[3, 30], [4, 40]])
  t.end()
})

t.test('entries set again for ever below the bound hold no memory', (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const map = new BoundedMap<string, number>(1_000)
  for (let i = 0; i <= 1_000; i++) map.set(`key${i}`, i)
  map.delete('key500')
  collect()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 1_000_000; i++) map.set(`key${501 + i % 400}`, i)
  collect()
  const grownBytes = process.memoryUsage().heapUsed - before
  // The iterator of one eviction kept 55 MB of outgrown tables.
  t.ok(grownBytes < 8_000_000, `${grownBytes} bytes`)
  t.equal(map.size, 1_000 - 1, 'and it is still there to hold some')
  t.end()
})

t.test('evictions do not walk over the holes of earlier ones', (t) => {
  const map = new BoundedMap<number, number>(50_000)
  // Of the processor, not of the wall: others may want it too. With keys().next() at each eviction it is 20 s.
  const before = process.cpuUsage()
  for (let i = 0; i < 600_000; i++) map.set(i, i)
  const usedMs = process.cpuUsage(before).user / 1_000
  t.ok(usedMs < 10_000, `${usedMs} ms`)
  t.equal(map.keys().next().value, 550_000)
  t.end()
})
