import { randomInt } from 'node:crypto'
import type { Clock, Timer } from '../std/clock.ts'
import { widerNets } from '../std/ip.ts'

/**
 * Where strangers to an account wait for their try at its password: twelve a minute may be made, and the next is drawn
 * at random among those that wait, so that whoever fills the line slows the owner down and shuts nobody out.
 *
 * Owns: who waits, and whose turn it is. Never does: count (`strangers` counts the twelve, for all processes), or look
 * at a password. A process draws among those that wait in it; one that took a try a moment ago leaves the next to the
 * others. Who waited in vain is told to come back soon and counted nowhere.
 *
 * Bounded in every direction: one try per account and address, four of a /56 and sixteen of a /48 (one client may own
 * 65,536 /64s), so many of an account, so many in all, five seconds each.
 */
export interface StrangersTry {
  /** The name that the account's tries are counted under; that of nobody's account waits like any other. */
  account: string
  /** ClientKey's part of the address, IPv6 by /64. */
  address: string
  /** Its client hung up. */
  isGone (): boolean
}

export interface LoginLine {
  /** 0 when the try may be made now; else the seconds, 1 to 5, after which its client may come again. */
  enter (one: StrangersTry): number | Promise<number>
  waiting (): number
  /** Nobody waits any more, now or later. */
  close (): void
}

/** Counts a stranger's try on an account. */
interface StrangersCount {
  take (account: string): Promise<boolean>
  /** As this process knows: false while there is no use in taking. */
  mayTake (account: string): boolean
  giveBack (account: string): void
}

interface LoginLineOptions {
  clock: Pick<Clock, 'monotonic' | 'every'>
  strangers: StrangersCount
}

/** Far below the handler's 10 s: a draw, a password and a session come after it. */
const WAIT_MS = 5_000
const RETRY_SECONDS_MAX = 5
/** Each holds a socket and its request. */
const ACCOUNT_MAX = 128
const WAITING_MAX = 512
const NETS_MAX = [4, 16]
const LOOK_MS = 250
/** Between two draws of one line, on average: other processes have lines of the same account. */
const DRAW_MS = 1_000

interface Waiter extends StrangersTry { nets: readonly string[], untilMs: number, leave (seconds: number): void }
interface Line { waiters: Waiter[], drawnAfterMs: number, isDrawing: boolean }

export function createLoginLine ({ clock, strangers }: LoginLineOptions): LoginLine {
  const lines = new Map<string, Line>()
  let waiting = 0
  let isClosed = false
  let timer: Timer | null = null

  async function tryAtOnce (one: StrangersTry): Promise<number> {
    return await strangers.take(one.account) ? 0 : join(one)
  }

  function join (one: StrangersTry): number | Promise<number> {
    if (lines.get(one.account) !== undefined || waiting >= WAITING_MAX) forgetGone()
    const line = lines.get(one.account)
    const nets = widerNets(one.address)
    if (isClosed || waiting >= WAITING_MAX || (line !== undefined && !hasRoom(line, one.address, nets))) {
      return retrySeconds()
    }
    const { promise, resolve } = Promise.withResolvers<number>()
    const waiter: Waiter = { ...one, nets, untilMs: clock.monotonic() + WAIT_MS, leave: resolve }
    if (line === undefined) lines.set(one.account, { waiters: [waiter], drawnAfterMs: 0, isDrawing: false })
    else line.waiters.push(waiter)
    waiting++
    timer ??= clock.every(LOOK_MS, look)
    return promise
  }

  /** Draws, and ends the waits that are over. */
  function look (): void {
    const nowMs = clock.monotonic()
    for (const [account, line] of lines) {
      keep(account, line, (waiter) => waiter.untilMs > nowMs && !waiter.isGone())
      const isDue = !line.isDrawing && nowMs >= line.drawnAfterMs
      if (line.waiters.length > 0 && isDue && strangers.mayTake(account)) draw(account, line)
    }
    stopWhenEmpty()
  }

  function draw (account: string, line: Line): void {
    line.isDrawing = true
    // Fail-closed: a try that cannot be counted is not made, and its client is told to come back.
    strangers.take(account).catch(() => false).then((isTaken) => {
      line.isDrawing = false
      if (!isTaken) return
      const alive = line.waiters.filter((waiter) => !waiter.isGone())
      const drawn = alive[randomInt(Math.max(1, alive.length))]
      if (drawn === undefined) return strangers.giveBack(account)
      line.drawnAfterMs = clock.monotonic() + randomInt(DRAW_MS / 2, DRAW_MS * 3 / 2)
      drawn.leave(0)
      keep(account, line, (waiter) => waiter !== drawn)
    })
  }

  /** The others leave, with a time to come back; a line that nobody waits in is none. */
  function keep (account: string, line: Line, stays: (waiter: Waiter) => boolean): void {
    const kept: Waiter[] = []
    for (const waiter of line.waiters) {
      if (stays(waiter)) kept.push(waiter)
      // Of no meaning for the one who was drawn.
      else waiter.leave(retrySeconds())
    }
    waiting -= line.waiters.length - kept.length
    line.waiters = kept
    if (kept.length === 0) lines.delete(account)
  }

  function forgetGone (): void {
    for (const [account, line] of lines) keep(account, line, (waiter) => !waiter.isGone())
  }

  function stopWhenEmpty (): void {
    if (waiting > 0) return
    timer?.cancel()
    timer = null
  }

  return {
    enter (one) {
      // Who comes while others wait has no better chance than they.
      if (isClosed || lines.has(one.account) || !strangers.mayTake(one.account)) return join(one)
      return tryAtOnce(one)
    },
    waiting: () => waiting,
    close () {
      isClosed = true
      for (const [account, line] of lines) keep(account, line, () => false)
      stopWhenEmpty()
    }
  }
}

/** One try of an address, and a few of the networks around it. */
function hasRoom ({ waiters }: Line, address: string, nets: readonly string[]): boolean {
  if (waiters.length >= ACCOUNT_MAX || waiters.some((waiter) => waiter.address === address)) return false
  return nets.every((net, i) => waiters.filter((waiter) => waiter.nets[i] === net).length < NETS_MAX[i]!)
}

/** Spread, so that those who were sent away together do not come back together. */
function retrySeconds (): number {
  return randomInt(1, RETRY_SECONDS_MAX + 1)
}
