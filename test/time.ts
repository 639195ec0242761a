import { setImmediate as turn } from 'node:timers/promises'
import type { TestClock } from '../src/std/clock.ts'

const STEPS_MAX = 10_000

/** What is under way in memory arrives: turns of the event loop, in which no time of the test passes. */
export async function turns (count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

/** Waits for an event of a real thread or disk that only looking shows. */
export async function until (what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < STEPS_MAX; i++) {
    if (await look()) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  throw new Error(`did not happen: ${what}`)
}

/** The result of work that waits for time: it passes, step by step, until the work is over. */
export async function whileTimePasses<T> (clock: TestClock, work: Promise<T>, stepMs = 50): Promise<T> {
  let isOver = false
  const ended = work.finally(() => { isOver = true })
  ended.catch(() => { /* thrown below */ })
  await until('the work ends in time', async () => {
    await turns()
    if (!isOver) clock.advance(stepMs)
    return isOver
  })
  return await ended
}
