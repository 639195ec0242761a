import type { Test } from 'tap'
import type { TestClock } from '../../src/std/clock.ts'
import { compareAndSet } from '../../src/std/compare-and-set.ts'
import type { CollectionDefinition, Document, Known, Page, Storage, Stored, Where } from '../../src/storage/port.ts'

/**
 * What every adapter must do, run on each of them. `open` gives an empty, migrated storage whose wall clock is `clock`.
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

export interface ContractStore { storage: Storage, clock: TestClock }
/** `plans`: the server tells which indexes it uses. */
export interface ContractOptions { open: (t: Test) => Promise<ContractStore>, plans: boolean }

const WRITERS = 6

type Sort = Array<[string, 1 | -1]>

export async function runContract (t: Test, { open, plans }: ContractOptions): Promise<void> {
  await t.test('an inserted document comes back with revision 1, and only once', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    t.match(await collection.insert({ id: 'cat', name: 'Mia', legs: 4 }), { id: 'cat', revision: 1 })
    t.strictSame(await collection.get('cat'), { id: 'cat', name: 'Mia', legs: 4, revision: 1 })
    await t.rejects(collection.insert({ id: 'cat' }), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    await t.rejects(collection.insert({ id: 'other', name: 'Mia' }), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    t.equal(await collection.get('nobody'), null)
    t.equal(await collection.count(), 1)
  })

  await t.test('a unique index leaves out documents without its first field, and holds over several fields', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    await collection.insertMany([{ id: 'a' }, { id: 'b', name: null }, { id: 'c', kind: 'x' }, { id: 'd', kind: 'x' }])
    t.equal(await collection.count(), 4)
    await collection.insert({ id: 'e', home: { city: 'Oslo' } })
    await t.rejects(collection.insert({ id: 'f', home: { city: 'Oslo' } }), { code: 'NEKO_ERR_STORE_DUPLICATE' }, 'a null in the second field is a value')
    await collection.insert({ id: 'g', home: { city: 'Oslo' }, kind: 'x' })
    await t.rejects(collection.put({ id: 'h', home: { city: 'Oslo' }, kind: 'x' }), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    await t.rejects(collection.replace({ id: 'a', home: { city: 'Oslo' }, kind: 'x' }, 1), { code: 'NEKO_ERR_STORE_DUPLICATE' })
    await collection.delete('g')
    t.ok(await collection.replace({ id: 'a', home: { city: 'Oslo' }, kind: 'x' }, 1), 'a deleted document frees its values')
  })

  await t.test('insertMany skips ids that are there, put replaces, both may be repeated', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    t.equal(await collection.insertMany([]), 0)
    t.equal(await collection.insertMany([{ id: 'a' }, { id: 'b' }]), 2)
    t.equal(await collection.insertMany([{ id: 'b', legs: 9 }, { id: 'c' }, { id: 'd' }]), 2)
    t.strictSame(await collection.get('b'), { id: 'b', revision: 1 })
    t.match(await collection.put({ id: 'b', legs: 2 }), { revision: 2 })
    t.match(await collection.put({ id: 'z', legs: 1 }), { revision: 1 })
    await collection.putMany([{ id: 'b', legs: 3 }, { id: 'y' }])
    t.strictSame(await collection.get('b'), { id: 'b', legs: 3, revision: 3 })
    t.equal(await collection.count(), 6)
    t.strictSame((await collection.getMany(['z', 'nobody', 'a'])).map((doc) => doc.id), ['z', 'a'])
  })

  await t.test('what nobody wrote since its mark is not given again, and every writing is', async (t) => {
    const { storage, clock } = await open(t)
    const collection = storage.collection<Animal>(animals)
    const expiresAt = clock.now() + 1000
    await collection.insertMany([{ id: 'a', legs: 1 }, { id: 'b', legs: 2, tags: ['x'] }, { id: 'c', expiresAt }])
    const unknown = ['b', 'nobody', 'a', 'c'].map((id): Known => ({ id, mark: null }))
    let known: Known[] = unknown
    /** What is given of each that is there: its legs, or null where it is unchanged. */
    const look = async (): Promise<Array<[id: string, legs: unknown]>> => {
      const readings = await collection.getChanged(known)
      known = unknown.map(({ id }) => ({ id, mark: readings.find((one) => one.id === id)?.mark ?? null }))
      return readings.map(({ id, document }) => [id, document === null ? null : document.legs])
    }
    t.strictSame(await collection.getChanged([]), [])
    t.strictSame(await look(), [['b', 2], ['a', 1], ['c', undefined]], 'in the order of the ids')
    const whole = (await collection.getChanged(unknown)).map(({ document }) => document)
    t.strictSame(whole, await collection.getMany(['b', 'a', 'c']), 'as getMany gives them')
    t.strictSame(await look(), [['b', null], ['a', null], ['c', null]])
    await collection.insert({ id: 'other' })
    t.strictSame(await look(), [['b', null], ['a', null], ['c', null]], 'a writing of another document is none of theirs')
    await collection.replace({ id: 'a', legs: 3 }, 1)
    t.strictSame(await look(), [['b', null], ['a', 3], ['c', null]])
    await collection.put({ id: 'b', legs: 4 })
    t.strictSame(await look(), [['b', 4], ['a', null], ['c', null]])
    await collection.delete('a')
    t.strictSame(await look(), [['b', null], ['c', null]])
    clock.advance(1000)
    t.strictSame(await look(), [['b', null]], 'time is over for a document that nobody wrote')
    t.strictSame(await look(), [['b', null]])
    await t.rejects(collection.getChanged([{ id: '', mark: null }]), { code: 'NEKO_ERR_INPUT_INVALID' })
  })

  await t.test('a document that was removed and inserted again is another one, also at the same revision', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    await collection.insertMany([{ id: 'a', legs: 1 }])
    const [before] = await collection.getChanged([{ id: 'a', mark: null }])
    await collection.delete('a')
    await collection.insertMany([{ id: 'a', legs: 2 }])
    const [after] = await collection.getChanged([before!])
    t.strictSame([before!.document?.revision, after!.document], [1, { id: 'a', legs: 2, revision: 1 }])
  })

  await t.test('replace is a compare-and-set: of racing writers exactly one wins', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    for (let round = 0; round < 10; round++) {
      const id = `cat${round}`
      await collection.insert({ id, legs: 4 })
      const outcomes = await Promise.all(Array.from({ length: 8 }, (_, i) => collection.replace({ id, legs: i }, 1)))
      t.equal(outcomes.filter((outcome) => outcome !== null).length, 1)
      t.equal((await collection.get(id))?.revision, 2)
    }
    t.equal(await collection.replace({ id: 'cat0', legs: 9 }, 1), null, 'an old revision loses')
    t.equal(await collection.replace({ id: 'nobody', legs: 9 }, 1), null, 'nothing there to replace')
  })

  await t.test('whoever loses finds what the winner wrote: as many tries as there are writers are enough for each', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    for (let round = 0; round < 5; round++) {
      const id = `cat${round}`
      await collection.insert({ id, legs: 0 })
      const addLeg = (): Promise<unknown> => compareAndSet(WRITERS, async () => {
        const { revision, ...cat } = await collection.get(id) as Stored<Animal>
        return await collection.replace({ ...cat, legs: Number(cat.legs) + 1 }, revision)
      }, () => new Error('a writer lost to one writer twice'))
      await Promise.all(Array.from({ length: WRITERS }, addLeg))
      t.equal((await collection.get(id))?.legs, WRITERS)
    }
  })

  await t.test('delete tells whether there was one; deleteWhere is bounded and begins with the oldest', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    await collection.insertMany(['a', 'b', 'c', 'd'].map((id) => ({ id, kind: id === 'd' ? 'dog' : 'cat' })))
    t.equal(await collection.delete('a'), true)
    t.equal(await collection.delete('a'), false)
    t.equal(await collection.deleteWhere({ kind: 'cat' }, 1), 1)
    t.equal(await collection.get('b'), null)
    t.equal(await collection.deleteWhere({ kind: 'cat' }, 100), 1)
    t.equal(await collection.count(), 1)
  })

  await t.test('conditions mean the same: kinds are kept apart and arrays match nothing', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    const kind = (value: unknown): string => value as string
    await collection.insertMany([
      { id: 'array', kind: kind(['x']) }, { id: 'false', kind: kind(false) }, { id: 'missing' }, { id: 'null', kind: null },
      { id: 'object', kind: kind({ x: 'x' }) }, { id: 'one', kind: kind(1) }, { id: 'text', kind: '["x"]' }, { id: 'true', kind: kind(true) },
      { id: 'two', kind: kind(2.5) }, { id: 'x', kind: 'x', home: { city: 'Bergen' } }, { id: 'xy', kind: 'xY%_' }
    ])
    const ids = async (where: Where): Promise<string> => (await collection.find({ where, first: 50 })).items.map((doc) => doc.id).join()
    t.equal(await ids({ kind: 'x' }), 'x')
    t.equal(await ids({ kind: '["x"]' }), 'text')
    t.equal(await ids({ kind: 1 }), 'one')
    t.equal(await ids({ kind: true }), 'true')
    t.equal(await ids({ kind: false }), 'false')
    t.equal(await ids({ kind: null }), 'missing,null')
    t.equal(await ids({ kind: { in: ['x', 1, null] } }), 'missing,null,one,x')
    t.equal(await ids({ kind: { in: [true, 2.5] } }), 'true,two')
    t.equal(await ids({ kind: { in: [] } }), '')
    t.equal(await ids({ kind: { ne: 'x' } }), 'false,missing,null,one,text,true,two,xy')
    t.equal(await ids({ kind: { ne: null } }), 'false,one,text,true,two,x,xy')
    t.equal(await ids({ kind: { gt: 1 } }), 'two')
    t.equal(await ids({ kind: { gte: 1, lt: 2 } }), 'one')
    t.equal(await ids({ kind: { gte: 'x' } }), 'x,xy')
    t.equal(await ids({ kind: { contains: 'Y%_' } }), 'xy')
    t.equal(await ids({ kind: { contains: 'y' } }), '', 'case counts')
    t.equal(await ids({ 'home.city': 'Bergen', kind: 'x' }), 'x')
    t.equal(await ids({ id: { in: ['x', 'xy'] }, revision: 1 }), 'x,xy')
    t.match(await collection.findOne({ kind: 'x' }), { id: 'x' })
    t.equal(await collection.findOne({ kind: 'nothing' }), null)
    t.equal(await collection.count({ kind: { gt: 0 } }), 2)
  })

  await t.test('operators and odd names never reach the driver', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    await collection.insert({ id: 'a', kind: 'secret' })
    const hostile = [
      { kind: { $ne: null } }, { kind: { $gt: '' } }, { $where: '1' }, { 'kind;--': 'x' }, { "kind'": 'x' }, { kind: ['secret'] }, { kind: { ne: { $gt: '' } } },
      { kind: { in: [{ $ne: 1 }] } }, { kind: { gt: null } }, { kind: {} }, { kind: { contains: '' } }, { 'a..b': 1 }, { ['x'.repeat(65)]: 1 }, { kind: Number.NaN }
    ]
    for (const where of hostile) await t.rejects(collection.find({ where: where as Where, first: 1 }), { code: 'NEKO_ERR_INPUT_INVALID' }, JSON.stringify(where))
    for (const first of [0, 1001, 1.5]) await t.rejects(collection.find({ first }), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.find({ first: 1, sort: [['$x', 1]] }), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.find({ first: 1, sort: [['a', 1], ['b', 1], ['c', 1]] }), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.get({ $ne: 1 } as unknown as string), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.insert({ id: '' }), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.deleteWhere({}, 10_001), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.insertMany(Array.from({ length: 1001 }, (_, i) => ({ id: `x${i}` }))), { code: 'NEKO_ERR_INPUT_INVALID' })
    await t.rejects(collection.insert({ id: 'big', kind: 'x'.repeat(4 * 1024 * 1024) }), { code: 'NEKO_ERR_INPUT_INVALID' })
  })

  await t.test('any JSON comes back as it was, hostile keys included', async (t) => {
    const collection = (await open(t)).storage.collection<Animal & { body?: unknown }>(animals)
    const body = JSON.parse('{"$where":1,"a.b":{"$gt":""},"%24":2,"__proto__":{"admin":true},"constructor":{"prototype":1},"\\u0000":3,"":4,"deep":[{"$x":[null,true,1.5,-3,1e21,"\\u0000ü😀"]}]}')
    await collection.insert({ id: 'a', body })
    t.equal(JSON.stringify((await collection.get('a'))?.body), JSON.stringify(body))
    t.equal(({} as { admin?: boolean }).admin, undefined)
  })

  await t.test('pages follow the cursor through ties, nulls and both directions without loss or repeat', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    const docs = Array.from({ length: 23 }, (_, i): Animal => ({ id: `a${String(i).padStart(2, '0')}`, at: i % 5 === 0 ? null : i % 4, kind: i % 3 === 0 ? null : `k${i % 2}`, wild: i % 2 === 0 }))
    t.equal(await collection.insertMany(docs), 23)
    const sorts: Array<Sort | undefined> = [undefined, [['at', 1]], [['at', -1]], [['kind', 1], ['at', -1]], [['kind', -1], ['at', 1]], [['wild', -1]], [['id', -1]], [['at', -1], ['id', 1]]]
    for (const sort of sorts) {
      const whole = (await collection.find({ sort, first: 100 })).items.map((doc) => doc.id)
      const expected = docs.toSorted((a, b) => compare(a, b, sort ?? [])).map((doc) => doc.id)
      t.strictSame(whole, expected, `${JSON.stringify(sort)} in order`)
      const seen: string[] = []
      for (let after: string | null = null, round = 0; round < 20; round++) {
        const page: Page<Animal> = await collection.find({ sort, first: 4, after })
        seen.push(...page.items.map((doc) => doc.id))
        after = page.cursors.at(-1) ?? null
        if (!page.hasNextPage) break
      }
      t.strictSame(seen, whole, `${JSON.stringify(sort)} by pages`)
    }
  })

  await t.test('several that put the same new documents at once all succeed', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    for (let round = 0; round < 20; round++) {
      const docs = Array.from({ length: 8 }, (_, i): Animal => ({ id: `r${round}-${i}`, name: `${round} ${i}` }))
      await Promise.all([collection.putMany(docs), collection.putMany(docs.toReversed()), collection.putMany(docs), ...docs.map((doc) => collection.put(doc))])
    }
    t.equal(await collection.count(), 160)
  })

  await t.test('a cursor that is none of ours, or of another list, is refused', async (t) => {
    const collection = (await open(t)).storage.collection<Animal>(animals)
    await collection.insertMany([{ id: 'a', at: 1 }, { id: 'b', at: 2 }])
    const [cursor] = (await collection.find({ first: 1, sort: [['at', 1]] })).cursors
    const made = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    for (const after of ['', 'x', '%%%', 'null', made(null), made({}), made(['+at', [{ $gt: 1 }], 'a']), made(['+at', [1], { $ne: 1 }]), made(['+at', [], 'a']), 'A'.repeat(5000), cursor!.slice(0, -3)]) {
      await t.rejects(collection.find({ first: 1, sort: [['at', 1]], after }), { code: 'NEKO_ERR_CURSOR_INVALID' })
    }
    await t.rejects(collection.find({ first: 1, sort: [['at', -1]], after: cursor }), { code: 'NEKO_ERR_CURSOR_INVALID' })
  })

  await t.test('an expired document is invisible at once and stands in nobody\'s way', async (t) => {
    const { storage, clock } = await open(t)
    const collection = storage.collection<Animal>(animals)
    const expiresAt = clock.now() + 1000
    await collection.insertMany([{ id: 'a', name: 'Mia', expiresAt }, { id: 'b', name: 'Rex', expiresAt: null }, { id: 'c', name: 'Tom', expiresAt }])
    t.equal(await collection.count(), 3)
    clock.advance(1000)
    t.equal(await collection.get('a'), null)
    t.strictSame(await collection.getMany(['a', 'b']).then((docs) => docs.map((doc) => doc.id)), ['b'])
    t.equal(await collection.findOne({ name: 'Mia' }), null)
    t.equal(await collection.count(), 1)
    t.equal((await collection.find({ first: 10 })).items.length, 1)
    t.equal(await collection.delete('a'), false)
    t.equal(await collection.replace({ id: 'a' }, 1), null)
    t.equal(await collection.deleteWhere({ name: 'Mia' }, 10), 0)
    t.match(await collection.insert({ id: 'a', legs: 3 }), { revision: 1 }, 'its id is free')
    t.match(await collection.insert({ id: 'd', name: 'Tom' }), { revision: 1 }, 'its unique value is free')
    t.strictSame(await collection.get('a'), { id: 'a', legs: 3, revision: 1 })
  })

  await t.test('migration is idempotent, may be run by several at once, and its indexes serve the queries', async (t) => {
    const { storage } = await open(t)
    await Promise.all([storage.migrate([animals]), storage.migrate([animals])])
    if (!plans) return t.comment('this server does not tell its plans')
    t.strictSame(await storage.explain(animals, { where: { name: 'Mia' }, first: 1 }), ['name'])
    t.strictSame(await storage.explain(animals, { where: { kind: 'cat' }, sort: [['at', -1]], first: 1 }), ['kind'])
    t.strictSame(await storage.explain(animals, { sort: [['at', -1]], first: 1 }), ['at'])
    t.strictSame(await storage.explain(animals, { where: { legs: 4 }, sort: [['legs', 1]], first: 1 }), [])
    t.strictSame(await storage.explain(animals, { where: { id: 'a' }, first: 1 }), ['id'])
    const collection = storage.collection<Animal>(animals)
    await collection.insertMany([{ id: 'a', at: 1 }, { id: 'b', at: 2 }])
    const [after] = (await collection.find({ sort: [['at', -1]], first: 1 })).cursors
    t.strictSame(await storage.explain(animals, { sort: [['at', -1]], first: 1, after }), ['at'])
  })
}

/** Order of the port: nulls first ascending, id last in the direction of the last field. */
function compare (a: Animal, b: Animal, sort: Sort): number {
  for (const [field, direction] of [...sort, ['id', sort.at(-1)?.[1] ?? 1] as [string, 1 | -1]]) {
    const [left, right] = [a, b].map((doc) => (doc as unknown as Record<string, string | number | null>)[field] ?? null)
    if (left === right) continue
    if (left === null) return -direction
    if (right === null) return direction
    return left! < right! ? -direction : direction
  }
  return 0
}
