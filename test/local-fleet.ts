import type { Fleet } from '../src/fleet/port.ts'
import type { Json } from '../src/std/json.ts'

interface Member {
  processId: string
  handlers: Map<string, Set<(message: Json, from: string) => void>>
  answerers: Map<string, (message: Json) => Json | null | Promise<Json | null>>
}

/** Processes that come and go; `loses` is asked for each message to each of them. */
export interface LocalFleet { join (slot: number): Fleet, leave (fleet: Fleet): void }

const copy = (message: Json): Json => JSON.parse(JSON.stringify(message)) as Json

/**
 * Several processes' fleets joined in one process: what one publishes reaches the others as it would over IPC, copied
 * through JSON and in a later turn of the event loop.
 */
export function createLocalFleet (loses: (topic: string) => boolean = () => false): LocalFleet {
  const members = new Map<string, Member>()
  let count = 0
  return {
    join (slot) {
      const self: Member = { processId: `process${(count++).toString().padStart(5, '0')}`, handlers: new Map(), answerers: new Map() }
      members.set(self.processId, self)
      const isIn = (): boolean => members.has(self.processId)
      return {
        processId: self.processId,
        slot,
        primaryId: null,
        processCount: () => members.size,
        bridgeUp: () => null,
        publish (topic, message) {
          const text = copy(message)
          if (!isIn()) return
          for (const other of members.values()) {
            if (other !== self && !loses(topic)) setImmediate(() => { for (const handler of other.handlers.get(topic) ?? []) handler(copy(text), self.processId) })
          }
        },
        subscribe (topic, handler) {
          const handlers = self.handlers.get(topic) ?? new Set()
          self.handlers.set(topic, handlers.add(handler))
          return () => handlers.delete(handler)
        },
        async ask (topic, message, { processId }) {
          if (!isIn()) return []
          const asked = [...members.values()].filter((other) => other !== self && (processId === undefined || other.processId === processId))
          const answers = await Promise.all(asked.map(async (other) => await other.answerers.get(topic)?.(copy(message)) ?? null))
          return answers.filter((answer) => answer !== null).map(copy)
        },
        answer (topic, handler) { self.answerers.set(topic, handler) },
        async close () { self.handlers.clear() }
      }
    },
    leave ({ processId }) {
      const member = members.get(processId)
      members.delete(processId)
      member?.handlers.clear()
      member?.answerers.clear()
    }
  }
}

/** The same, all of whom stay. */
export function joinedFleets (count: number): Fleet[] {
  const fleet = createLocalFleet()
  return Array.from({ length: count }, (_, slot) => fleet.join(slot))
}
