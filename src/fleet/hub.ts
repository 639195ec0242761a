import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Envelope } from './envelope.ts'

/**
 * The hub of one host: who belongs to the fleet here, and where an envelope goes next. It runs in the primary, or in
 * the one process of WORKERS=1; a bridge (Redis) may join it to the hubs of other hosts. It keeps no message: what
 * cannot be delivered now is lost, as the fleet promises (at most once).
 */
export interface FleetHub {
  /** `counted` is false for the primary itself: it hears everything but serves nothing. */
  join (processId: string, deliver: (envelope: Envelope) => void, options?: { counted?: boolean }): void
  leave (processId: string): void
  /** From a member of this host. */
  fromMember (envelope: Envelope): void
  /** From another host's hub. */
  fromBridge (envelope: Envelope): void
  setBridge (bridge: FleetBridge | null): void
  /** Ids of this host's serving processes. */
  members (): string[]
  /** Serving processes of all hosts, as far as is known. */
  processCount (): number
  /** null without a bridge. */
  bridgeUp (): boolean | null
}

/** The way to other hosts: one envelope out, and who else is known to live. */
export interface FleetBridge {
  readonly hostId: string
  /** The service under it (Redis) answers now. */
  isUp (): boolean
  send (envelope: Envelope): void
  /**
   * Other hosts heard of lately: host id -> its processes. While the bridge is down the last known stay, so
   * that shares of a limit never become looser.
   */
  hosts (): ReadonlyMap<string, readonly string[]>
  close (): Promise<void>
}

/** Questions under way through one hub; beyond it the oldest is forgotten (its asker runs into its own timeout). */
const PENDING_MAX = 10_000

/** One question under way: who still owes an answer, a member or a whole host. */
interface Pending { asker: string, waiting: Set<string>, isRemote: boolean }

export function createFleetHub (clock: Pick<Clock, 'after'>): FleetHub {
  const members = new Map<string, { deliver: (envelope: Envelope) => void, counted: boolean }>()
  const pending = new BoundedMap<string, Pending>(PENDING_MAX)
  let bridge: FleetBridge | null = null

  const toAsker = (asker: Pending, envelope: Envelope): void => {
    if (asker.isRemote) bridge?.send(envelope)
    else members.get(asker.asker)?.deliver(envelope)
  }

  const settle = (id: string, from: string): void => {
    const question = pending.get(id)
    if (question === undefined || !question.waiting.delete(from) || question.waiting.size > 0) return
    pending.delete(id)
    toAsker(question, { kind: 'end', id, from: bridge?.hostId ?? 'hub', to: question.asker })
  }

  const ask = (envelope: Extract<Envelope, { kind: 'ask' }>, isRemote: boolean): void => {
    const targets = [...members].filter(([id]) => id !== envelope.from && (envelope.to === null || envelope.to === id))
    const waiting = new Set(targets.map(([id]) => id))
    const isElsewhere = !isRemote && bridge !== null && !(envelope.to !== null && waiting.size > 0)
    if (isElsewhere && envelope.waitFor !== 'host') {
      for (const [host, processes] of bridge!.hosts()) {
        if (envelope.to === null || processes.includes(envelope.to)) waiting.add(host)
      }
    }
    pending.set(envelope.id, { asker: envelope.from, waiting, isRemote })
    clock.after(envelope.timeoutMs + 1000, () => pending.delete(envelope.id))
    if (waiting.size === 0) {
      // Nobody to ask: said at once, so that nobody waits for a timeout.
      waiting.add('nobody')
      settle(envelope.id, 'nobody')
    }
    for (const [, member] of targets) member.deliver(envelope)
    if (isElsewhere) bridge?.send(envelope)
  }

  const answer = (envelope: Extract<Envelope, { kind: 'answer' }>): void => {
    const question = pending.get(envelope.id)
    if (question !== undefined && envelope.message !== null) toAsker(question, envelope)
  }

  return {
    join (processId, deliver, { counted = true } = {}) { members.set(processId, { deliver, counted }) },
    leave (processId) {
      members.delete(processId)
      for (const id of [...pending.keys()]) settle(id, processId)
    },
    fromMember (envelope) {
      if (envelope.kind === 'ask') return ask(envelope, false)
      if (envelope.kind === 'answer') {
        answer(envelope)
        return settle(envelope.id, envelope.from)
      }
      if (envelope.kind !== 'publish') return
      if (envelope.to !== undefined) return members.get(envelope.to)?.deliver(envelope)
      for (const [id, member] of members) if (id !== envelope.from) member.deliver(envelope)
      bridge?.send(envelope)
    },
    fromBridge (envelope) {
      if (envelope.kind === 'publish') for (const [, member] of members) member.deliver(envelope)
      else if (envelope.kind === 'ask') ask(envelope, true)
      else if (envelope.kind === 'answer') answer(envelope)
      else if (envelope.kind === 'end') settle(envelope.id, envelope.from)
    },
    setBridge (next) { bridge = next },
    bridgeUp: () => bridge === null ? null : bridge.isUp(),
    members: () => [...members].filter(([, member]) => member.counted).map(([id]) => id),
    processCount () {
      let count = 0
      for (const member of members.values()) if (member.counted) count++
      for (const processes of bridge?.hosts().values() ?? []) count += processes.length
      return count
    }
  }
}
