import t from 'tap'
import { withinBar } from '../bar.ts'
import { ADDRESS, codeOf, openRoom } from './room.ts'

t.test('known and unknown users take the same time (200 samples, medians within 10 %)', async (t) => {
  const { identity } = await openRoom(t)
  const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
  const sample = async (kind: 'known' | 'unknown', i: number): Promise<void> => {
    const startMs = performance.now()
    await codeOf(identity.login({ username: kind === 'known' ? 'admin' : `nobody${i}`, password: 'not the password', address: ADDRESS }))
    times[kind].push(performance.now() - startMs)
  }
  for (let i = 0; i < 5; i++) await sample('known', i)
  times.known = []
  // Interleaved, and in changing order, so that what else the machine does falls on both alike.
  for (let i = 0; i < 100; i++) {
    await sample(i % 2 === 0 ? 'known' : 'unknown', i)
    await sample(i % 2 === 0 ? 'unknown' : 'known', i)
  }
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number
  const [known, unknown] = [median(times.known), median(times.unknown)]
  const difference = Math.abs(known - unknown) / Math.max(known, unknown)
  withinBar(t, 'difference of the medians', difference * 100, 10, '%')
  t.comment(`known ${known.toFixed(1)} ms, unknown ${unknown.toFixed(1)} ms, difference ${(difference * 100).toFixed(1)} %`)
})
