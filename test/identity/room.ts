import { argon2Sync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { loadConfig, type Config } from '../../src/config/config.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE } from '../../src/errors.ts'
import { createIdentity, type Identity, type IdentityOptions } from '../../src/identity/identity.ts'
import { prepareIdentity } from '../../src/identity/prepare.ts'
import { identityCollections, type Credential, type Principal } from '../../src/identity/shapes.ts'
import { newProcessId } from '../../src/std/id.ts'
import type { Json } from '../../src/std/json.ts'
import { systemClock, type Clock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'

export const ADMIN_PASSWORD = 'a long enough password'
export const ADDRESS = '192.0.2.1'
export const SECRET = 'uJ4bQ7xW1mZ0pK8sT5vY2nC6rD9gH3fL'

/** Fleets of several processes in one: messages are delivered at once, as JSON, and can be cut off. */
export function createMemoryBus (): { join (): Fleet, cut (cut: boolean): void } {
  const members = new Map<string, Map<string, Set<(message: Json, from: string) => void>>>()
  const answerers = new Map<string, Map<string, (message: Json) => Json>>()
  let isCut = false
  return {
    cut (cut) { isCut = cut },
    join () {
      const processId = newProcessId()
      const topics = new Map<string, Set<(message: Json, from: string) => void>>()
      members.set(processId, topics)
      answerers.set(processId, new Map())
      return {
        processId,
        slot: members.size - 1,
        primaryId: null,
        processCount: () => members.size,
        bridgeUp: () => null,
        publish (topic: string, message: Json) {
          if (isCut) return
          for (const [id, others] of members) {
            if (id !== processId) others.get(topic)?.forEach((handler) => handler(JSON.parse(JSON.stringify(message)), processId))
          }
        },
        subscribe (topic: string, handler: (message: Json, from: string) => void) {
          const handlers = topics.get(topic) ?? new Set()
          topics.set(topic, handlers.add(handler))
          return () => { handlers.delete(handler) }
        },
        async ask (topic: string, message: Json, { processId: to }: { processId?: string }) {
          if (isCut) return []
          const asked = [...answerers].filter(([id]) => id !== processId && (to === undefined || to === id))
          const answers = await Promise.all(asked.map(async ([, topics]) => await topics.get(topic)?.(message) ?? null))
          return answers.filter((answer) => answer !== null).map((answer) => JSON.parse(JSON.stringify(answer)) as Json)
        },
        answer (topic: string, handler: (message: Json) => Json) { answerers.get(processId)!.set(topic, handler) },
        async close () {
          members.delete(processId)
          answerers.delete(processId)
        }
      } as unknown as Fleet
    }
  }
}

/** An audit trail in memory that can be told to fail. */
export function createMemoryAudit (): Audit & { events: AuditInput[], fail (failing: boolean): void } {
  const events: AuditInput[] = []
  let failing = false
  return {
    events,
    fail (next) { failing = next },
    record (event) { events.push(event) },
    async durable (event) {
      if (failing) throw new NEKO_ERR_AUDIT_UNAVAILABLE()
      events.push(event)
      return { ...event, id: 'x', at: 0, processId: 'x', seq: events.length }
    },
    healthy: () => !failing
  }
}

export function testConfig (t: Test, env: Record<string, string> = {}): Config {
  const dataDir = mkdtempSync(join(tmpdir(), 'neko-identity-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return loadConfig({ NODE_ENV: 'test', DATA_DIR: dataDir, ADMIN_PASSWORD, JWT_SECRET: SECRET, ...env })
}

export interface Room {
  identity: Identity
  storage: Storage
  audit: ReturnType<typeof createMemoryAudit>
  config: Config
  bus: ReturnType<typeof createMemoryBus>
  clock: Clock
  /** Another process of the same fleet and store. */
  sibling (overrides?: Partial<IdentityOptions>): Promise<Identity>
  login (): Promise<{ accessToken: string, refreshToken: string }>
  admin (): Promise<Principal>
}

/** Identity on a real store, with an administrator `admin`. */
export async function openRoom (t: Test, { env = {}, clock = systemClock, attempts, storage: given }: { env?: Record<string, string>, clock?: Clock, attempts?: IdentityOptions['attempts'], storage?: Storage } = {}): Promise<Room> {
  const storage = given ?? await openTestStorage(t, identityCollections, clock)
  const config = testConfig(t, env)
  const audit = createMemoryAudit()
  const bus = createMemoryBus()
  await prepareIdentity({ storage, config, clock })

  async function sibling (overrides: Partial<IdentityOptions> = {}): Promise<Identity> {
    const identity = createIdentity({ config, storage, audit, fleet: bus.join(), clock, log: { info () {}, warn () {} }, loggedRevocations: async () => [], ...(attempts === undefined ? {} : { attempts }), ...overrides })
    t.teardown(() => identity.close())
    await identity.start()
    return identity
  }

  const identity = await sibling()
  const login = (): ReturnType<Room['login']> => identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  return {
    identity,
    storage,
    audit,
    config,
    bus,
    clock,
    sibling,
    login,
    admin: async () => held(await identity.authenticateToken((await login()).accessToken))
  }
}

export function held (credential: Credential): Principal {
  if (credential.state !== 'held') throw new Error(`not held: ${JSON.stringify(credential)}`)
  return credential.principal
}

/** As an earlier version would have stored it: argon2id with m=8192,t=1. */
export function olderHash (password: string): string {
  const nonce = Buffer.alloc(16, 7)
  const hash = argon2Sync('argon2id', { message: password, nonce, memory: 8192, passes: 1, parallelism: 1, tagLength: 32 })
  return `$argon2id$v=19$m=8192,t=1,p=1$${nonce.toString('base64').replace(/=+$/, '')}$${hash.toString('base64').replace(/=+$/, '')}`
}

/** The code a promise is rejected with, or 'none'. */
export async function codeOf (promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
