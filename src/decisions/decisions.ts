import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../cluster/fleet.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import { addressKey, canonicalAddress, cidrText, createAddressSet, parseCidr } from '../std/ip.ts'
import type { Json } from '../std/json.ts'
import type { Page, Storage } from '../storage/port.ts'
import { currentStep, escalatedTtl, STEP_MAX, type Step } from './ladder.ts'
import { decisionCollection, ladderCollection, type Action, type Decision, type DecisionInput, type DecisionOrigin, type DecisionScope } from './shapes.ts'
import { createStanding } from './standing.ts'
import { createWriteBehind } from './write-behind.ts'

/**
 * Standing decisions: memory first, store behind, siblings told.
 *
 * Owns: which decisions stand, and the ladder of repeat offenders. Never does: judge a request, or know a playbook.
 * A person's change is acknowledged when its audit record is synced and memory has it; the store follows, also after
 * an outage, and a start replays the log. A playbook's stands from memory at once.
 */
export interface Decisions {
  /** Hop 1. `covered` false when NEVER_BLOCK's default does not protect this peer. */
  forAddress (address: string, covered?: boolean): Decision | null
  /** Hop 3: about the key, user or session; a decision about the session wins over one about its user. */
  forPrincipal (principal: Principal): Decision | null
  /** By a person: durable before it returns. @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_AUDIT_UNAVAILABLE */
  add (input: DecisionInput, by: DecisionOrigin): Promise<Decision>
  /** By a playbook: stands at once, longer for repeat offenders; null when NEVER_BLOCK or an allow spares the client. */
  addNow (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin): Decision | null
  /** Also forgets the client's history, limits and step. @throws NEKO_ERR_NOT_FOUND */
  remove (id: string, actor: string): Promise<Decision>
  get (id: string): Promise<Decision | null>
  list (filter: { scope?: DecisionScope, action?: Action, value?: string }, page: { first: number, after: string | null }): Promise<Page<Decision>>
  count (filter: { scope?: DecisionScope, action?: Action, value?: string }): Promise<number>
  /** True when no standing block may be made for this address. */
  isSpared (address: string): boolean
  /** Changes made here and by siblings. */
  onChanged (listener: (change: { decision: Decision, removed: boolean }) => void): () => void
  /** Loads what stands from the store. */
  load (): Promise<void>
  active (): Record<Action, number>
  close (): Promise<void>
}

export interface DecisionParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  neverBlock: readonly string[]
  /** Forgets what this process knows about a client: history, limits. */
  forgetClient (clientKey: string): void
  log: { error (details: object, message: string): void }
}

const LOADED_MAX = 200_000
const SWEEP_MS = 500
const STEPS_MAX = 50_000
const LADDER_KEPT_MS = 90 * 86_400_000
const TTL_MAX = 10 * 365 * 86_400

export function createDecisions ({ storage, audit, fleet, clock, neverBlock, forgetClient, log }: DecisionParts): Decisions {
  const standing = createStanding({ neverBlock })
  const spared = createAddressSet(neverBlock)
  const steps = new Map<string, Step>()
  const listeners = new Set<(change: { decision: Decision, removed: boolean }) => void>()
  const store = storage.collection<Decision>(decisionCollection)
  const behind = createWriteBehind({ store, clock, onError: (error) => log.error({ err: error }, 'decisions wait for the store') })
  const ladderBehind = createWriteBehind({ store: storage.collection<{ id: string, step: number, at: number, expiresAt: number }>(ladderCollection), clock, onError: () => {} })

  function tell (decision: Decision, removed: boolean): void {
    for (const listener of listeners) listener({ decision, removed })
  }

  function stand (decision: Decision): void {
    standing.put(decision)
    tell(decision, false)
  }

  function fall (id: string): void {
    const decision = standing.remove(id)
    if (decision !== null) tell(decision, true)
  }

  function keepStep (key: string, step: Step | null): void {
    steps.delete(key)
    if (step === null) return
    if (steps.size >= STEPS_MAX) steps.delete(steps.keys().next().value as string)
    steps.set(key, step)
  }

  fleet.subscribe('decisions.put', (message) => {
    const { decision, step } = message as unknown as { decision: Decision, step: Step | null }
    if (step !== null) keepStep(ladderKey(decision), step)
    stand(decision)
  })
  fleet.subscribe('decisions.remove', (message) => {
    const decision = message as unknown as Decision
    forget(decision)
    fall(decision.id)
  })

  function make (input: DecisionInput, by: DecisionOrigin): Decision {
    const now = clock.now()
    return {
      id: newId('dc', now),
      scope: input.scope,
      value: canonicalValue(input.scope, input.value),
      action: input.action,
      origin: by.origin,
      reason: input.reason.slice(0, 500),
      simulated: by.simulated ?? false,
      createdAt: now,
      expiresAt: input.ttlSeconds === null ? null : now + input.ttlSeconds * 1000,
      assessmentId: by.assessmentId ?? null
    }
  }

  async function add (input: DecisionInput, by: DecisionOrigin): Promise<Decision> {
    checkTtl(input.ttlSeconds)
    const decision = make(input, by)
    if (decision.action === 'BLOCK' && decision.scope === 'IP' && spared.has(decision.value)) {
      throw new NEKO_ERR_INPUT_INVALID('NEVER_BLOCK covers this address')
    }
    await audit.durable({
      category: 'security',
      type: 'decision.add',
      actor: by.origin,
      target: `${decision.scope}|${decision.value}`,
      outcome: 'ok',
      assessmentId: decision.assessmentId,
      details: { id: decision.id, action: decision.action, reason: decision.reason, expiresAt: decision.expiresAt },
      effects: [{ collection: decisionCollection.name, op: 'put', id: decision.id, doc: asDocument(decision) }]
    })
    stand(decision)
    behind.put(decision)
    fleet.publish('decisions.put', { decision: asDocument(decision), step: null })
    return decision
  }

  function addNow (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin): Decision | null {
    const now = clock.now()
    const key = `${input.scope}|${canonicalValue(input.scope, input.value)}`
    const escalates = by.escalates !== false && by.simulated !== true
    const step = escalates ? currentStep(steps.get(key) ?? null, now) : 0
    const decision = make({ ...input, ttlSeconds: escalatedTtl(input.ttlSeconds, step) }, by)
    if (decision.action === 'BLOCK' && sparesValue(decision, now)) return null
    const next: Step = { step: Math.min(STEP_MAX, step + 1), at: now }
    if (escalates) {
      keepStep(key, next)
      ladderBehind.put({ id: key, ...next, expiresAt: now + LADDER_KEPT_MS })
    }
    stand(decision)
    behind.put(decision)
    fleet.publish('decisions.put', { decision: asDocument(decision), step: escalates ? { ...next } : null })
    audit.record({
      category: 'security',
      type: 'decision.add',
      actor: by.origin,
      target: key,
      outcome: 'ok',
      assessmentId: decision.assessmentId,
      details: { id: decision.id, action: decision.action, reason: decision.reason, expiresAt: decision.expiresAt, simulated: decision.simulated },
      effects: [{ collection: decisionCollection.name, op: 'put', id: decision.id, doc: asDocument(decision) }]
    })
    return decision
  }

  function sparesValue (decision: Decision, now: number): boolean {
    if (decision.scope !== 'IP' && decision.scope !== 'RANGE') return standing.forId(decision.scope, decision.value, now)?.action === 'ALLOW'
    const address = decision.value.split('/', 1)[0] as string
    return spared.has(address) || standing.forAddress(address, now, true)?.action === 'ALLOW'
  }

  async function remove (id: string, actor: string): Promise<Decision> {
    const decision = standing.get(id) ?? await store.get(id)
    if (decision === null) throw new NEKO_ERR_NOT_FOUND('There is no such decision')
    await audit.durable({
      category: 'security',
      type: 'decision.remove',
      actor,
      target: `${decision.scope}|${decision.value}`,
      outcome: 'ok',
      assessmentId: decision.assessmentId,
      details: { id },
      effects: [{ collection: decisionCollection.name, op: 'delete', id }]
    })
    forget(decision)
    fall(id)
    behind.delete(id)
    ladderBehind.delete(ladderKey(decision))
    fleet.publish('decisions.remove', asDocument(decision))
    return decision
  }

  /** The next ordinary request of a client who was let back in must pass. */
  function forget (decision: Decision): void {
    keepStep(ladderKey(decision), null)
    const client = clientKeyOf(decision)
    if (client !== null) forgetClient(client)
  }

  async function load (): Promise<void> {
    let after: string | null = null
    do {
      const page: Page<Decision> = await store.find({ first: 1000, after })
      for (const { id, scope, value, action, origin, reason, simulated, createdAt, expiresAt, assessmentId } of page.items) {
        if (!behind.isPending(id)) standing.put({ id, scope, value, action, origin, reason, simulated, createdAt, expiresAt, assessmentId })
      }
      after = page.hasNextPage && standing.size < LOADED_MAX ? page.cursors.at(-1) ?? null : null
    } while (after !== null)
    const ladder = await storage.collection<{ id: string, step: number, at: number }>(ladderCollection).find({ first: 1000, sort: [['id', 1]] })
    for (const { id, step, at } of ladder.items) keepStep(id, { step, at })
  }

  const timer = setInterval(() => { for (const decision of standing.sweep(clock.now())) tell(decision, true) }, SWEEP_MS)
  timer.unref()

  return {
    forAddress: (address, covered = true) => standing.size === 0 ? null : standing.forAddress(address, clock.now(), covered),
    forPrincipal (principal) {
      if (standing.size === 0) return null
      const now = clock.now()
      if (principal.kind === 'key') return standing.forId('KEY', principal.id, now)
      const session = principal.sessionId === null ? null : standing.forId('SESSION', principal.sessionId, now)
      return session ?? standing.forId('USER', principal.id, now)
    },
    add,
    addNow,
    remove,
    async get (id) {
      return standing.get(id) ?? await store.get(id)
    },
    list: async ({ scope, action, value }, { first, after }) => await store.find({ where: whereOf({ scope, action, value }), sort: [['createdAt', -1]], first, after }),
    count: async (filter) => await store.count(whereOf(filter)),
    isSpared: (address) => spared.has(address),
    onChanged (listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    load,
    active () {
      const active = { ALLOW: 0, CHALLENGE: 0, BLOCK: 0 }
      for (const decision of standing.values()) active[decision.action]++
      return active
    },
    async close () {
      clearInterval(timer)
      await Promise.all([behind.close(), ladderBehind.close()])
    }
  }
}

function whereOf (filter: { scope?: string, action?: string, value?: string }): Record<string, string> {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined && value !== null)) as Record<string, string>
}

function checkTtl (ttlSeconds: number | null): void {
  if (ttlSeconds !== null && (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > TTL_MAX)) throw new NEKO_ERR_INPUT_INVALID('ttlSeconds must be from 1 to ten years')
}

/** One client, one spelling. @throws NEKO_ERR_INPUT_INVALID */
export function canonicalValue (scope: DecisionScope, value: string): string {
  if (scope === 'IP') {
    const address = canonicalAddress(value)
    if (address === null) throw new NEKO_ERR_INPUT_INVALID('value must be an address')
    return address
  }
  if (scope === 'RANGE') {
    const cidr = parseCidr(value)
    if (cidr === null || !value.includes('/')) throw new NEKO_ERR_INPUT_INVALID('value must be a range like 192.0.2.0/24')
    return cidrText(cidr)
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value)) throw new NEKO_ERR_INPUT_INVALID('value must be an id')
  return value
}

/** The ClientKey a decision is about, or null when it is about more than one. */
function clientKeyOf ({ scope, value }: Decision): string | null {
  if (scope === 'IP') return `ip:${addressKey(value)}`
  if (scope === 'RANGE') return value.includes(':') && value.endsWith('/64') ? `ip:${addressKey(value.slice(0, -3))}` : null
  if (scope === 'SESSION') return null
  return `${scope.toLowerCase()}:${value}`
}

function ladderKey ({ scope, value }: Decision): string {
  return `${scope}|${value}`
}

function asDocument (decision: Decision): { id: string } & { [key: string]: Json } {
  return { ...decision } as unknown as { id: string } & { [key: string]: Json }
}
