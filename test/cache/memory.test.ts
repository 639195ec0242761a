import t from 'tap'
import fc from 'fast-check'
import { createMemory, type Entry } from '../../src/cache/memory.ts'
import { scaled } from '../scale.ts'

const BYTES_MAX = 64_000
const RUNS = scaled(500, 20_000)

function entry (key: string, about: Partial<Entry<unknown>> = {}): Entry<unknown> {
  return { key, value: { key }, bytes: 100, references: [], storedAtMs: 0, freshForMs: 1, staleForMs: 0, ...about }
}

t.test('the least recently used go first, and a look-up is a use', (t) => {
  const memory = createMemory<unknown>({ bytesMax: BYTES_MAX })
  const large = (key: string): Entry<unknown> => entry(key, { bytes: 3_500 })
  let count = 0
  while (memory.evictions === 0) {
    memory.get('0')
    memory.set(large(String(count++)))
  }
  t.ok(memory.get('0'), 'the first was used all the time')
  t.equal(memory.get('1'), undefined)
  t.ok(memory.get('2'))
  t.ok(memory.bytes <= BYTES_MAX)
  t.end()
})

t.test('an entry of more than a sixteenth, of no size, or with too many references is not held, and its former one goes', (t) => {
  const memory = createMemory<unknown>({ bytesMax: BYTES_MAX })
  const many = Array.from({ length: 257 }, (_, i) => String(i))
  for (const about of [{ bytes: 4_001 }, { bytes: NaN }, { bytes: -1 }, { bytes: Infinity }, { references: many }]) {
    t.equal(memory.set(entry('key')), true)
    t.equal(memory.set(entry('key', about)), false)
    t.equal(memory.get('key'), undefined)
  }
  t.equal(memory.bytes, 0)
  t.end()
})

t.test('what grows beside a value counts, for as long as that value is held', (t) => {
  const memory = createMemory<unknown>({ bytesMax: BYTES_MAX })
  const value = { body: 'x' }
  memory.set(entry('key', { value }))
  const before = memory.bytes
  t.equal(memory.grow('key', value, 500), true)
  t.equal(memory.bytes, before + 500)
  t.equal(memory.get('key')!.bytes, 600)
  t.equal(memory.grow('key', { body: 'x' }, 1), false, 'another value took its place')
  t.equal(memory.grow('absent', value, 1), false)
  t.equal(memory.grow('key', value, 4_000), false, 'too large together')
  t.equal(memory.bytes, before + 500)
  memory.clear()
  t.equal(memory.bytes, 0)
  t.end()
})

t.test('keys and references of any characters are only themselves', (t) => {
  const memory = createMemory<unknown>({ bytesMax: 1_048_576 })
  const texts = ['', '\u0000', '\n', '__proto__', 'constructor', '\ud800', '\ud801', '\udc00', '*', 'a:b', 'a', 'á', 'a\u0301', ' a', '*all*']
  for (const text of texts) memory.set(entry(text, { value: text, references: [text] }))
  t.same(texts.map((text) => memory.get(text)?.value), texts)
  for (const [i, text] of texts.entries()) {
    memory.invalidate([text])
    t.equal(memory.size, texts.length - i - 1)
  }
  t.equal(memory.bytes, 0)
  t.end()
})

/** The same by lists that are walked: slow, and nothing in it to get wrong. */
class NaiveMemory {
  entries: Array<Entry<unknown> & { weight: number }> = []

  get (key: string): Entry<unknown> | undefined {
    const at = this.entries.findIndex((one) => one.key === key)
    if (at < 0) return undefined
    this.entries.push(...this.entries.splice(at, 1))
    return this.entries.at(-1)
  }

  set (entry: Entry<unknown>, weight: number): void {
    this.entries = this.entries.filter(({ key }) => key !== entry.key)
    if (weight > BYTES_MAX / 16) return
    this.entries.push({ ...entry, weight })
    this.makeRoom()
  }

  grow (key: string, value: unknown, more: number): void {
    const one = this.entries.find((one) => one.key === key && one.value === value)
    if (one !== undefined && one.weight + more <= BYTES_MAX / 16) one.weight += more
    this.makeRoom()
  }

  invalidate (references: readonly string[]): void {
    this.entries = this.entries.filter((one) => !one.references.some((reference) => references.includes(reference)))
  }

  makeRoom (): void {
    while (this.bytes > BYTES_MAX) this.entries.shift()
  }

  get bytes (): number {
    return this.entries.reduce((sum, { weight }) => sum + weight, 0)
  }
}

/** As the memory says itself: what one entry weighs, taken alone. */
function weightOf (one: Entry<unknown>): number {
  const memory = createMemory<unknown>({ bytesMax: 1e9 })
  memory.set(one)
  return memory.bytes
}

t.test('after any operations it holds what a naive memory holds, within its bytes', (t) => {
  const key = fc.integer({ min: 0, max: 40 }).map(String)
  const references = fc.array(fc.constantFrom('a', 'b', 'c', 'd', '__proto__', ''), { maxLength: 4 })
  const operation = fc.oneof(
    { weight: 20, arbitrary: fc.record({ what: fc.constant('set' as const), key, references, bytes: fc.integer({ min: 500, max: 4_000 }) }) },
    { weight: 15, arbitrary: fc.record({ what: fc.constant('get' as const), key }) },
    { weight: 8, arbitrary: fc.record({ what: fc.constant('grow' as const), key, bytes: fc.integer({ min: 0, max: 3_000 }) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant('invalidate' as const), references: fc.array(fc.constantFrom('a', 'b', '__proto__'), { maxLength: 1 }) }) }
  )
  let evictions = 0
  fc.assert(fc.property(fc.array(operation, { maxLength: 300, size: 'max' }), (operations) => {
    const memory = createMemory<unknown>({ bytesMax: BYTES_MAX })
    const naive = new NaiveMemory()
    for (const one of operations) {
      if (one.what === 'get') {
        if (memory.get(one.key)?.value !== naive.get(one.key)?.value) return false
      } else if (one.what === 'set') {
        const made = entry(one.key, one)
        memory.set(made)
        naive.set(made, weightOf(made))
      } else if (one.what === 'grow') {
        const value = naive.entries.find(({ key }) => key === one.key)?.value
        memory.grow(one.key, value, one.bytes)
        naive.grow(one.key, value, one.bytes)
      } else {
        naive.invalidate(one.references)
        memory.invalidate(one.references)
      }
      if (memory.bytes > BYTES_MAX || memory.bytes !== naive.bytes || memory.size !== naive.entries.length) return false
    }
    evictions += memory.evictions
    // In the order in which they would go.
    return naive.entries.every(({ key, value }) => memory.get(key)?.value === value)
  }), { numRuns: RUNS })
  t.ok(evictions > RUNS, 'which let go of many')
  t.end()
})
