import type { Test } from 'tap'
import type { TestClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'

/**
 * What every adapter must do, run on each of them. `open` gives an empty, migrated storage whose time is `clock`.
 */
export interface Animal extends Document {
  name?: string | null
  legs?: number | boolean | null
  at?: number | null
  kind?: string | null
  tags?: string[]
  wild?: boolean
  expiresAt?: number | null
  home?: { city?: string, 'dotted.key'?: string, $dollar?: number }
}

export const animals: CollectionDefinition = {
  name: 'animals',
  expiryField: 'expiresAt',
  indexes: [
    { name: 'name', fields: [['name', 1]], unique: true },
    { name: 'at', fields: [['at', -1]] },
    { name: 'kind', fields: [['kind', 1], ['at', -1]] },
    { name: 'pair', fields: [['home.city', 1], ['kind', 1]], unique: true }
  ]
}

export type OpenContract = (t: Test) => Promise<{ storage: Storage, clock: TestClock }>

export function runContract (t: Test, open: OpenContract): void {
  t.test('an inserted document comes back with revision 1, and only once', async (t) => {
    const { storage } = await open(t)
    const collection = storage.collection<Animal>(animals)
    t.match(await collection.insert({ id: 'cat', name: 'Mia', legs: 4 }), { id: 'cat', revision: 1 })
    t.strictSame(await collection.get('cat'), { id: 'cat', name: 'Mia', legs: 4, revision: 1 })
    await t.rejects(collection.insert({ id: 'cat' }), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    await t.rejects(collection.insert({ id: 'other', name: 'Mia' }), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    t.equal(await collection.get('nobody'), null)
    t.equal(await collection.count(), 1)
  })

  t.test('replace is a compare-and-set: of racing writers exactly one wins', async (t) => {
    const { storage } = await open(t)
    const collection = storage.collection<Animal>(animals)
    await collection.insert({ id: 'cat', legs: 4 })
    const outcomes = await Promise.all(Array.from({ length: 8 }, (_, i) => collection.replace({ id: 'cat', legs: i }, 1)))
    t.equal(outcomes.filter((outcome) => outcome !== null).length, 1)
    t.equal((await collection.get('cat'))?.revision, 2)
    t.equal(await collection.replace({ id: 'cat', legs: 9 }, 1), null, 'an old revision loses')
    t.equal(await collection.replace({ id: 'nobody', legs: 9 }, 1), null, 'nothing there to replace')
  })

  t.test('pages follow the cursor through ties, nulls and both directions without loss or repeat', async (t) => {
    const { storage } = await open(t)
    const collection = storage.collection<Animal>(animals)
    const docs = Array.from({ length: 23 }, (_, i): Animal => ({ id: `a${String(i).padStart(2, '0')}`, at: i % 5 === 0 ? null : i % 4, kind: i % 3 === 0 ? null : `k${i % 2}` }))
    t.equal(await collection.insertMany(docs), 23)
    for (const sort of [undefined, [['at', 1]], [['at', -1]], [['kind', 1], ['at', -1]], [['kind', -1], ['at', 1]], [['id', -1]]] as Array<Array<[string, 1 | -1]> | undefined>) {
      const whole = (await collection.find({ sort, first: 100 })).items.map((doc) => doc.id)
      const seen: string[] = []
      let after: string | null = null
      let rounds = 0
      do {
        const page = await collection.find({ sort, first: 4, after })
        seen.push(...page.items.map((doc) => doc.id))
        after = page.hasNextPage ? page.cursors.at(-1)! : null
      } while (after !== null && ++rounds < 20)
      t.equal(whole.length, 23)
      t.strictSame(seen, whole, JSON.stringify(sort))
    }
  })
}
