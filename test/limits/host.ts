import { createFleetEndpoint } from '../../src/fleet/endpoint.ts'
import type { FleetEndpoint } from '../../src/fleet/endpoint.ts'
import { createFleetHub } from '../../src/fleet/hub.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import type { Envelope } from '../../src/fleet/envelope.ts'
import { createLimits } from '../../src/limits/limiter.ts'
import type { Limits } from '../../src/limits/limiter.ts'
import type { Rate } from '../../src/limits/shapes.ts'
import type { Clock } from '../../src/std/clock.ts'
import type { Teardown } from '../server.ts'

/** A primary and its workers in one process: the real fleet, with channels that can be stalled, and what travelled counted. */
export interface TestHost {
  primary: Limits
  workers: Limits[]
  fleets: Fleet[]
  lines: string[]
  /** From workers to the primary, and from it to workers. */
  messages: { up: number, down: number }
  /** The primary neither reads nor writes until it resumes; then it reads what lies there. */
  stall (): void
  resume (): void
  /** A worker that hears nothing any more. */
  freeze (slot: number): void
  /** A worker that died and its successor. */
  restart (slot: number): Limits
}

export const RATES: Record<'strict' | 'standard' | 'relaxed' | 'service', Rate> = {
  strict: { max: 10, windowSeconds: 60, blockSeconds: 300 },
  standard: { max: 100, windowSeconds: 60, blockSeconds: 60 },
  relaxed: { max: 500, windowSeconds: 60, blockSeconds: 0 },
  service: { max: 1000, windowSeconds: 60, blockSeconds: 0 }
}

export function createTestHost (t: Teardown, { clock, processes = 2, shadow = false, rates = RATES }: { clock: Clock, processes?: number, shadow?: boolean, rates?: typeof RATES }): TestHost {
  const hub = createFleetHub(clock)
  const lines: string[] = []
  const messages = { up: 0, down: 0 }
  const say = (_facts: unknown, text?: string): void => { lines.push(String(text)) }
  const log = { info: say, warn: say, error: say }
  const waiting: Array<() => void> = []
  let isStalled = false
  let born = 0
  const frozen = new Set<string>()

  const travel = (envelope: Envelope, deliver: (envelope: Envelope) => void): void => {
    const text = JSON.stringify(envelope)
    const arrive = (): void => deliver(JSON.parse(text) as Envelope)
    setImmediate(() => { if (isStalled) waiting.push(arrive); else arrive() })
  }
  const endpoint = (processId: string, slot: number, send: (envelope: Envelope) => void): FleetEndpoint => createFleetEndpoint({ processId, slot, primaryId: 'primary', clock, log, send, processCount: () => processes, bridgeUp: () => null })

  const primaryFleet = endpoint('primary', -1, (envelope) => hub.fromMember(envelope))
  hub.join('primary', (envelope) => primaryFleet.deliver(envelope), { counted: false })
  const primary = createLimits({ rates, fleet: primaryFleet, clock, shadow })
  t.teardown(() => primary.close())

  const worker = (slot: number): { fleet: Fleet, limits: Limits } => {
    const processId = `worker${born++}`
    const fleet = endpoint(processId, slot, (envelope) => {
      messages.up++
      travel(envelope, (copy) => hub.fromMember(copy))
    })
    hub.join(processId, (envelope) => {
      messages.down++
      travel(envelope, (copy) => { if (!frozen.has(processId)) fleet.deliver(copy) })
    })
    const limits = createLimits({ rates, fleet, clock, shadow, log })
    t.teardown(() => limits.close())
    return { fleet, limits }
  }
  const living = Array.from({ length: processes }, (_, slot) => worker(slot))
  return {
    primary,
    workers: living.map(({ limits }) => limits),
    fleets: living.map(({ fleet }) => fleet),
    lines,
    messages,
    stall () { isStalled = true },
    resume () {
      isStalled = false
      for (const arrive of waiting.splice(0)) arrive()
    },
    freeze (slot) { frozen.add(living[slot]!.fleet.processId) },
    restart (slot) {
      hub.leave(living[slot]!.fleet.processId)
      living[slot]!.limits.close()
      return worker(slot).limits
    }
  }
}
