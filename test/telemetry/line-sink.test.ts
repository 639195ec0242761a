import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createLineSink } from '../../src/telemetry/line-sink.ts'

t.test('lines wait a moment for others, leave in portions that a pipe takes whole, and in their order', async (t) => {
  const clock = createTestClock()
  const portions: string[] = []
  const sink = createLineSink({ clock, write: (portion) => { portions.push(portion) }, pendingBytes: () => 0, portionBytes: 4_096 })
  for (let i = 0; i < 500; i++) sink.write(`line ${i} ${'x'.repeat(i % 97)}`)
  t.ok(portions.length > 5, 'full portions do not wait')
  const before = portions.length
  clock.advance(20)
  t.equal(portions.length, before + 1, 'the rest has waited long enough')
  clock.advance(1_000)
  t.equal(portions.length, before + 1, 'nothing is written when nothing was said')
  for (const portion of portions) t.ok(Buffer.byteLength(portion) <= 4_096 && portion.endsWith('\n'))
  t.same(portions.join('').trimEnd().split('\n').map((line) => Number(line.split(' ')[1])), Array.from({ length: 500 }, (_, i) => i))
  sink.write('y'.repeat(10_000))
  sink.flush()
  t.equal(portions.at(-1), `${'y'.repeat(10_000)}\n`, 'a line that is longer than a portion is one by itself')
})

t.test('when nobody reads, these lines are dropped and counted', async (t) => {
  let pending = 0
  const portions: string[] = []
  const sink = createLineSink({ clock: createTestClock(), write: (portion) => { portions.push(portion) }, pendingBytes: () => pending, portionBytes: 4_096 })
  sink.write('kept')
  pending = 9 * 1_048_576
  for (let i = 0; i < 3; i++) sink.write('lost')
  t.equal(sink.dropped(), 3)
  pending = 0
  sink.write('kept again')
  sink.flush()
  t.same(portions, ['kept\nkept again\n'])
})
