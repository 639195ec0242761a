import type { Fleet } from '../src/fleet/port.ts'
import type { Json } from '../src/std/json.ts'

/**
 * Several processes' fleets joined in one process: what one publishes reaches the others as it would over IPC, copied
 * through JSON and in a later turn of the event loop.
 */
export function joinedFleets (count: number): Fleet[] {
  const members = Array.from({ length: count }, (_, slot) => ({
    processId: `process${slot.toString().padStart(5, '0')}`,
    handlers: new Map<string, Set<(message: Json, from: string) => void>>(),
    answerers: new Map<string, (message: Json) => Json | null | Promise<Json | null>>()
  }))
  const copy = (message: Json): Json => JSON.parse(JSON.stringify(message)) as Json
  return members.map((self, slot): Fleet => ({
    processId: self.processId,
    slot,
    primaryId: null,
    processCount: () => count,
    bridgeUp: () => null,
    publish (topic, message) {
      const text = copy(message)
      for (const other of members) {
        if (other !== self) setImmediate(() => { for (const handler of other.handlers.get(topic) ?? []) handler(copy(text), self.processId) })
      }
    },
    subscribe (topic, handler) {
      const handlers = self.handlers.get(topic) ?? new Set()
      self.handlers.set(topic, handlers.add(handler))
      return () => handlers.delete(handler)
    },
    async ask (topic, message, { processId }) {
      const asked = members.filter((other) => other !== self && (processId === undefined || other.processId === processId))
      const answers = await Promise.all(asked.map(async (other) => await other.answerers.get(topic)?.(copy(message)) ?? null))
      return answers.filter((answer) => answer !== null).map(copy)
    },
    answer (topic, handler) { self.answerers.set(topic, handler) },
    async close () { self.handlers.clear() }
  }))
}
