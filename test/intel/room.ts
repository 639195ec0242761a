import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { createIntel, type Intel } from '../../src/intel/actors.ts'
import { intelCollections, type ActorRecord } from '../../src/intel/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Json } from '../../src/std/json.ts'
import type { Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'

type Test = Parameters<typeof openTestStorage>[0]

/** An audit that keeps what it is told, and can be told to fail. */
export function keepingAudit (): Audit & { events: AuditInput[], fail: Error | null } {
  const audit = {
    events: [] as AuditInput[],
    fail: null as Error | null,
    record (event: AuditInput) { audit.events.push(event) },
    async durable (event: AuditInput) {
      if (audit.fail !== null) throw audit.fail
      audit.events.push(event)
      return { ...event, id: 'ae_1', at: 0, processId: 'p', seq: audit.events.length }
    },
    healthy: () => audit.fail === null
  }
  return audit
}

/** Two and more processes of one host, joined by function calls. */
export function joinedFleets (count: number): Fleet[] {
  const handlers: Array<Map<string, Set<(message: Json, from: string) => void>>> = []
  const answerers: Array<Map<string, (message: Json) => Json | null | Promise<Json | null>>> = []
  return Array.from({ length: count }, (_, slot): Fleet => {
    handlers[slot] = new Map()
    answerers[slot] = new Map()
    const others = (): number[] => [...handlers.keys()].filter((each) => each !== slot)
    return {
      processId: `process-${slot}`,
      slot,
      primaryId: 'primary',
      processCount: () => count,
      bridgeUp: () => null,
      publish (topic, message) { for (const other of others()) for (const handler of handlers[other]!.get(topic) ?? []) handler(message, `process-${slot}`) },
      subscribe (topic, handler) {
        const set = handlers[slot]!.get(topic) ?? new Set()
        handlers[slot]!.set(topic, set.add(handler))
        return () => { set.delete(handler) }
      },
      async ask (topic, message) {
        const answers = await Promise.all(others().map((other) => answerers[other]!.get(topic)?.(message) ?? null))
        return answers.filter((answer) => answer !== null)
      },
      answer (topic, handler) { answerers[slot]!.set(topic, handler) },
      async close () {}
    }
  })
}

/** A room on a store of its own; `sibling` is the same store seen by another process; `through` is what stands between the room and its store. */
export async function openIntel (t: Test, through: (storage: Storage) => Storage = (storage) => storage): Promise<{ intel: Intel, sibling: Intel, audit: ReturnType<typeof keepingAudit>, storage: Awaited<ReturnType<typeof openTestStorage>>, forgotten: Array<readonly string[] | null> }> {
  const storage = through(await openTestStorage(t))
  await storage.migrate(intelCollections)
  const audit = keepingAudit()
  const clock = createTestClock()
  const [fleet, otherFleet] = joinedFleets(2)
  const forgotten: Array<readonly string[] | null> = []
  const intel = createIntel({ storage, audit, fleet: fleet!, clock, forgetAnswers: async (references) => { forgotten.push(references) } })
  const sibling = createIntel({ storage, audit, fleet: otherFleet!, clock, forgetAnswers: async () => {} })
  t.teardown(() => { intel.close(); sibling.close() })
  return { intel, sibling, audit, storage, forgotten }
}

export async function * bytesOf (value: unknown, pieceBytes = 1 << 20): AsyncGenerator<Uint8Array> {
  const bytes = value instanceof Uint8Array ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  for (let from = 0; from < bytes.length; from += pieceBytes) yield bytes.subarray(from, from + pieceBytes)
}

export const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

export function group (n: number, name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { type: 'intrusion-set', id: `intrusion-set--${uuid(n)}`, name, aliases: [name], modified: '2024-01-02T03:04:05.678Z', ...more }
}

/** An ATT&CK group with its id. */
export function attackGroup (n: number, name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return group(n, name, { external_references: [{ source_name: 'mitre-attack', external_id: `G${String(n).padStart(4, '0')}`, url: `https://attack.mitre.org/groups/G${String(n).padStart(4, '0')}` }], ...more })
}

export const bundle = (...objects: unknown[]): Record<string, unknown> => ({ type: 'bundle', id: `bundle--${uuid(999)}`, objects })

export function cluster (n: number, value: string, meta: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { value, uuid: uuid(n), meta, ...more }
}

export const galaxy = (...values: unknown[]): Record<string, unknown> => ({ name: 'Threat Actor', type: 'threat-actor', uuid: uuid(998), values, version: 7 })

export function record (source: ActorRecord['source'], key: string, name: string, more: Partial<ActorRecord> = {}): ActorRecord {
  return {
    source,
    key,
    version: 1,
    amends: null,
    name,
    aliases: [],
    attackIds: [],
    country: null,
    category: 'UNKNOWN',
    categoryGrade: 0,
    motivation: null,
    techniques: [],
    references: [],
    firstSeen: null,
    lastSeen: null,
    description: null,
    ...more
  }
}

export const technique = (n: number, id: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({ type: 'attack-pattern', id: `attack-pattern--${uuid(n)}`, name: `Technique ${id}`, external_references: [{ source_name: 'mitre-attack', external_id: id }], ...more })
export const uses = (n: number, actor: number, target: number): Record<string, unknown> => ({ type: 'relationship', id: `relationship--${uuid(n)}`, relationship_type: 'uses', source_ref: `intrusion-set--${uuid(actor)}`, target_ref: `attack-pattern--${uuid(target)}` })
