import t, { type Test } from 'tap'
import { createOwedMarks, type OwedMarks } from '../../src/cache/owed-marks.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { turns } from '../time.ts'

interface Room { marks: OwedMarks, redis: { isUp: boolean }, written: Array<readonly string[] | null>, late: Array<readonly string[] | null>, lines: string[], pass (ms: number): Promise<void> }

function open (t: Test): Room {
  const clock = createTestClock()
  const room = { redis: { isUp: true }, written: [] as Room['written'], late: [] as Room['late'], lines: [] as string[] }
  const log = { info: (line: unknown) => { room.lines.push(String(line)) }, warn: (line: unknown) => { room.lines.push(String(line)) } }
  const marks = createOwedMarks({
    clock,
    log,
    async setMarks (references) {
      await turns(1)
      if (room.redis.isUp) room.written.push(references)
      return room.redis.isUp
    },
    onLate: (references) => { room.late.push(references) }
  })
  t.teardown(() => marks.close())
  return { ...room, marks, async pass (ms) { clock.advance(ms); await turns() } }
}

t.test('what is written at once is not owed', async (t) => {
  const { marks, written, late, lines } = open(t)
  const writing = marks.write(['x'])
  t.equal(marks.isSettled(), false, 'while it is on its way')
  t.equal(await writing, true)
  t.equal(marks.isSettled(), true)
  t.same([written, late, lines], [[['x']], [], []])
})

t.test('what cannot be written is owed until it is, with a line at the beginning and one at the end', async (t) => {
  const { marks, redis, written, late, lines, pass } = open(t)
  redis.isUp = false
  t.equal(await marks.write(['x']), false)
  t.equal(await marks.write(['y']), false)
  for (let i = 0; i < 10; i++) await pass(1_000)
  t.equal(marks.isSettled(), false)
  t.equal(lines.length, 1)
  redis.isUp = true
  await pass(1_000)
  t.equal(marks.isSettled(), true)
  t.same([written, late], [[['x', 'y']], [['x', 'y']]])
  t.equal(lines.length, 2)
})

t.test('what another process owes is owed here too, and told by that one alone', async (t) => {
  const { marks, written, late } = open(t)
  marks.owe(['x'])
  t.equal(marks.isSettled(), false)
  await turns()
  t.equal(marks.isSettled(), true)
  t.same([written, late], [[['x']], []])
})

t.test('many references are written in portions, more than a thousand become all', async (t) => {
  const { marks, redis, written, late, pass } = open(t)
  const many = Array.from({ length: 1_000 }, (_, i) => String(i))
  redis.isUp = false
  for (const reference of many) await marks.write([reference])
  redis.isUp = true
  await pass(1_000)
  t.same(written.map((some) => some?.length), [256, 256, 256, 232])
  t.same(late.flat().sort(), many.toSorted())
  written.length = 0
  redis.isUp = false
  for (const reference of [...many, 'one more']) await marks.write([reference])
  await marks.write(['and one behind'])
  redis.isUp = true
  await pass(1_000)
  t.ok(written.includes(null))
  t.equal(marks.isSettled(), true)
})

t.test('what is owed anew while it is written is written again', async (t) => {
  const { marks, redis, written, pass } = open(t)
  redis.isUp = false
  await marks.write(['x'])
  await turns()
  redis.isUp = true
  marks.owe(['x'])
  const again = marks.write(['x'])
  await again
  await pass(2_000)
  t.ok(written.length >= 2)
  t.equal(marks.isSettled(), true)
})
