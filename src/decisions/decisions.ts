import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import { createAddressSet } from '../std/ip.ts'
import type { Json } from '../std/json.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Page, Storage } from '../storage/port.ts'
import { currentStep, escalatedTtl, STEP_MAX, type Step } from './ladder.ts'
import { createOffenders } from './offenders.ts'
import { PENDING_ASKED_MAX, reconcileWithSiblings } from './reconcile.ts'
import {
  decisionCollection,
  type Action,
  type Decision,
  type DecisionInput,
  type DecisionOrigin,
  type DecisionScope
} from './shapes.ts'
import { createStanding, isByPlaybook, stronger } from './standing.ts'
import { canonicalValue, clientKeyOf, coveredBy, ladderKey } from './subject.ts'
import { createPendingWrites } from './pending-writes.ts'

/**
 * Standing decisions: memory first, store behind, siblings told.
 *
 * Owns: which decisions stand, and the ladder of repeat offenders. Never does: judge a request, or know a playbook.
 * A person's change is acknowledged when its audit record is synced and memory has it; the store follows, also after
 * an outage, and a start replays the log. A playbook's stands from memory at once. Playbooks keep one
 * decision per client and action: when two processes see one offence, the decision that ends last stays, in
 * every process alike, so that removing it lets the client back in.
 */
export interface Decisions {
  /** Hop 1. `covered` false when NEVER_BLOCK's default does not protect this peer. */
  forAddress (address: string, covered?: boolean): Decision | null
  /** About the key, user or session. */
  forPrincipal (principal: Principal): Decision | null
  /** Hop 3: what counts of the caller's own decisions and the one about its address; an allow wins over every block. */
  forCaller (principal: Principal | null, byAddress: Decision | null): Decision | null
  /** By a person: durable before it returns. @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_AUDIT_UNAVAILABLE */
  add (input: DecisionInput, by: DecisionOrigin): Promise<Decision>
  /**
   * By a playbook: stands at once, longer for repeat offenders; null when NEVER_BLOCK (by the client's own
   * address or by the one that its request came from) or an allow spares the client.
   */
  addNow (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin): Decision | null
  /** What `addNow` would do: how long it would stand, null when the client is spared. */
  preview (
    input: Pick<DecisionInput, 'scope' | 'value' | 'action'> & { ttlSeconds: number },
    address?: string | null
  ): { ttlSeconds: number } | null
  /** Also forgets the client's history, limits and step. @throws NEKO_ERR_NOT_FOUND */
  remove (id: string, actor: string): Promise<Decision>
  get (id: string): Promise<Decision | null>
  list (
    filter: { scope?: DecisionScope, action?: Action, value?: string },
    page: { first: number, after: string | null }
  ): Promise<Page<Decision>>
  count (filter: { scope?: DecisionScope, action?: Action, value?: string }): Promise<number>
  /** Changes made here and by siblings. */
  onChanged (listener: (change: { decision: Decision, removed: boolean }) => void): () => void
  /** Loads what stands from the store. */
  load (): Promise<void>
  /** How many stand; simulated ones are left out. */
  active (): Record<Action, number>
  /** Resolves when the store was offered all that memory is ahead. */
  settled (): Promise<void>
  close (): Promise<void>
}

export interface DecisionParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  neverBlock: readonly string[]
  /** Forgets what this process knows about a client: history, limits, tries of login. */
  forgetClient (clientKey: string): void
  log: { error (details: object, message: string): void }
}

const LOADED_MAX = 200_000
const SWEEP_MS = 500
const TTL_SECONDS_MAX = 10 * 365 * 86_400
const PAGE = 1000
/** Ids remembered after their removal, so that a late message or page does not bring them back. */
const REMOVED_MAX = 10_000
const MADE_MAX = 10_000
/** What siblings still had on the way when a client was forgotten arrives within this. */
const FORGET_AGAIN_MS = 500
/** Younger decisions may not have reached the store yet. */
const SETTLED_MS = 30_000
const ASK_MS = 1000

export function createDecisions (
  { storage, audit, fleet, clock, neverBlock, forgetClient, log }: DecisionParts
): Decisions {
  const standing = createStanding({ neverBlock })
  const spared = createAddressSet(neverBlock)
  const offenders = createOffenders(storage)
  const removedLately = new Set<string>()
  const madeHere = new Set<string>()
  const forgetting = new Set<NodeJS.Timeout>()
  const listeners = new Set<(change: { decision: Decision, removed: boolean }) => void>()
  const store = storage.collection<Decision>(decisionCollection)
  const behind = createPendingWrites({
    store,
    onError: (error) => log.error({ err: error }, 'decisions wait for the store')
  })

  function tell (decision: Decision, removed: boolean): void {
    for (const listener of listeners) listener({ decision, removed })
  }

  /** Puts it in force, unless a playbook's other decision about the same client outlasts it. */
  function activate (decision: Decision): void {
    const rival = isByPlaybook(decision) ? standing.rivalOf(decision, clock.now()) : null
    if (rival === null || outlasts(decision, rival)) {
      if (rival !== null) supersede(rival)
      standing.put(decision)
      tell(decision, false)
    } else supersede(decision)
  }

  function supersede (decision: Decision): void {
    bound(removedLately, REMOVED_MAX).add(decision.id)
    standing.remove(decision.id)
    behind.delete(decision.id)
    if (!madeHere.delete(decision.id)) return
    audit.record({
      category: 'security',
      type: 'decision.supersede',
      actor: decision.origin,
      target: ladderKey(decision),
      outcome: 'ok',
      assessmentId: decision.assessmentId,
      details: { id: decision.id },
      effects: [{ collection: decisionCollection.name, op: 'delete', id: decision.id }]
    })
  }

  function deactivate (id: string): void {
    const decision = standing.remove(id)
    if (decision !== null) tell(decision, true)
  }

  fleet.subscribe('decisions.put', (message) => {
    const { decision, step } = message as unknown as { decision: Decision, step: Step | null }
    if (removedLately.has(decision.id)) return
    if (step !== null) offenders.applyRemote(ladderKey(decision), step)
    activate(decision)
  })
  fleet.subscribe('decisions.remove', (message) => {
    const decision = message as unknown as Decision
    bound(removedLately, REMOVED_MAX).add(decision.id)
    forget(decision)
    deactivate(decision.id)
  })
  fleet.answer('decisions.pending', (ids) => (ids as string[]).filter((id) => behind.isPending(id)))

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
    if (decision.action === 'BLOCK' && coveredBy(spared, decision)) {
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
    activate(decision)
    behind.put(decision)
    fleet.publish('decisions.put', { decision: asDocument(decision), step: null })
    return decision
  }

  function addNow (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin): Decision | null {
    const now = clock.now()
    const made = make(input, by)
    if (made.action === 'BLOCK' && (sparesValue(made, now) || sparesOrigin(by.address))) return null
    const key = ladderKey(made)
    const escalates = by.escalates !== false && by.simulated !== true
    const rival = standing.rivalOf(made, now)
    const step = escalates ? currentStep(offenders.stepOf(key), now) : 0
    // Who is blocked already and seen again was on the way when the block came: the same offence, no further step.
    const ttlSeconds = escalatedTtl(input.ttlSeconds, rival === null ? step : Math.max(0, step - 1))
    const decision = {
      ...made,
      expiresAt: now + ttlSeconds * 1000,
      ...(rival === null ? {} : { id: rival.id, createdAt: rival.createdAt })
    }
    if (rival !== null && (rival.expiresAt === null || rival.expiresAt >= decision.expiresAt)) return rival
    const next: Step | null = escalates && rival === null ? { step: Math.min(STEP_MAX, step + 1), at: now } : null
    if (next !== null) offenders.raise(key, next)
    bound(madeHere, MADE_MAX).add(decision.id)
    activate(decision)
    behind.put(decision)
    fleet.publish('decisions.put', { decision: asDocument(decision), step: next === null ? null : { ...next } })
    audit.record({
      category: 'security',
      type: rival === null ? 'decision.add' : 'decision.prolong',
      actor: by.origin,
      target: key,
      outcome: 'ok',
      assessmentId: decision.assessmentId,
      score: by.score ?? null,
      factor: by.factor ?? null,
      details: {
        id: decision.id,
        action: decision.action,
        reason: decision.reason,
        expiresAt: decision.expiresAt,
        simulated: decision.simulated
      },
      effects: [{ collection: decisionCollection.name, op: 'put', id: decision.id, doc: asDocument(decision) }]
    })
    return decision
  }

  function preview (
    input: Pick<DecisionInput, 'scope' | 'value' | 'action'> & { ttlSeconds: number },
    address: string | null = null
  ): { ttlSeconds: number } | null {
    const now = clock.now()
    const made = make({ ...input, reason: '' }, { origin: 'playbook:' })
    if (made.action === 'BLOCK' && (sparesValue(made, now) || sparesOrigin(address))) return null
    return { ttlSeconds: escalatedTtl(input.ttlSeconds, currentStep(offenders.stepOf(ladderKey(made)), now)) }
  }

  /** An administrator who tries things out on the machine itself must not lock himself out, whatever his name. */
  function sparesOrigin (address: string | null | undefined): boolean {
    return address !== null && address !== undefined && spared.has(address)
  }

  function sparesValue (decision: Decision, now: number): boolean {
    const isNetwork = decision.scope === 'IP' || decision.scope === 'RANGE'
    const held = isNetwork
      ? standing.forAddress(decision.value.split('/', 1)[0] as string, now, true)
      : standing.forId(decision.scope as 'KEY', decision.value, now)
    return (held?.action === 'ALLOW' && !held.simulated) || coveredBy(spared, decision)
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
      details: { id, receipt: decision.assessmentId },
      effects: [{ collection: decisionCollection.name, op: 'delete', id }]
    })
    bound(removedLately, REMOVED_MAX).add(id)
    forget(decision)
    deactivate(id)
    behind.delete(id)
    offenders.reset(ladderKey(decision))
    fleet.publish('decisions.remove', asDocument(decision))
    // Whoever is let back in is let in: the quarantine that came with the block goes with it.
    if (decision.action === 'BLOCK') {
      for (const other of standing.about(decision)) {
        if (other.action === 'CHALLENGE' && isByPlaybook(other)) await remove(other.id, actor)
      }
    }
    return decision
  }

  /**
   * The next ordinary request of a client who was let back in must pass; what siblings had on the way is
   * forgotten too.
   */
  function forget (decision: Decision): void {
    offenders.forget(ladderKey(decision))
    const client = clientKeyOf(decision)
    if (client === null) return
    forgetClient(client)
    const again = setTimeout(() => {
      forgetting.delete(again)
      forgetClient(client)
    }, FORGET_AGAIN_MS)
    again.unref()
    if (forgetting.size < REMOVED_MAX) forgetting.add(again)
  }

  async function load (): Promise<void> {
    for await (const page of pagesOf(store, { first: PAGE, most: LOADED_MAX })) page.forEach(takeIn)
    await offenders.load()
  }

  function takeIn (
    { id, scope, value, action, origin, reason, simulated, createdAt, expiresAt, assessmentId }: Decision
  ): void {
    if (behind.isPending(id) || removedLately.has(id)) return
    const decision = { id, scope, value, action, origin, reason, simulated, createdAt, expiresAt, assessmentId }
    const known = standing.get(id)
    if (known === null || known.expiresAt !== expiresAt) activate(decision)
  }

  /** The store's word counts, but for what is too young to be there, or still on its way from a sibling. */
  async function reload (): Promise<void> {
    const before = clock.now() - SETTLED_MS
    const stored = new Set<string>()
    for await (const page of pagesOf(store, { first: PAGE, most: LOADED_MAX })) {
      for (const decision of page) {
        stored.add(decision.id)
        takeIn(decision)
      }
    }
    const lacking = stored.size >= LOADED_MAX
      ? []
      : [...standing.values()].filter(({ id, createdAt }) =>
          !stored.has(id) && createdAt < before && !behind.isPending(id)
        ).map(({ id }) => id).slice(0, PENDING_ASKED_MAX)
    if (lacking.length === 0) return
    const onTheirWay = new Set((await fleet.ask('decisions.pending', lacking, { timeoutMs: ASK_MS })).flat())
    for (const id of lacking) if (!onTheirWay.has(id)) deactivate(id)
  }

  async function readSince (ms: number): Promise<void> {
    const pages = pagesOf(store, { where: { createdAt: { gte: ms } }, first: PAGE, most: LOADED_MAX })
    for await (const page of pages) page.forEach(takeIn)
  }

  const reconciling = reconcileWithSiblings({ fleet, standing, clock, reload, readSince })
  function forPrincipal (principal: Principal): Decision | null {
    if (standing.size === 0) return null
    const now = clock.now()
    if (principal.kind === 'key') return standing.forId('KEY', principal.id, now)
    const session = principal.sessionId === null ? null : standing.forId('SESSION', principal.sessionId, now)
    return stronger(session, standing.forId('USER', principal.id, now))
  }

  const timer = setInterval(() => {
    for (const decision of standing.sweep(clock.now())) tell(decision, true)
  }, SWEEP_MS)
  timer.unref()

  return {
    forAddress: (address, covered = true) =>
      standing.size === 0 ? null : standing.forAddress(address, clock.now(), covered),
    forPrincipal,
    forCaller: (principal, byAddress) => principal === null ? byAddress : stronger(forPrincipal(principal), byAddress),
    add,
    addNow,
    preview,
    remove,
    async get (id) {
      return standing.get(id) ?? await store.get(id)
    },
    list: async ({ scope, action, value }, { first, after }) =>
      await store.find({ where: whereOf({ scope, action, value }), sort: [['createdAt', -1]], first, after }),
    count: async (filter) => await store.count(whereOf(filter)),
    onChanged (listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    load,
    active: () => standing.active(),
    async settled () { await Promise.all([behind.settled(), offenders.settled()]) },
    async close () {
      clearInterval(timer)
      for (const again of forgetting) clearTimeout(again)
      reconciling.close()
      await Promise.all([behind.close(), offenders.close()])
    }
  }
}

/** The same answer in every process, whichever of the two it heard of first. */
function outlasts (one: Decision, other: Decision): boolean {
  const [a, b] = [one.expiresAt ?? Infinity, other.expiresAt ?? Infinity]
  return a === b ? one.id < other.id : a > b
}

/** A set with room for one more: its oldest goes. */
function bound (set: Set<string>, max: number): Set<string> {
  if (set.size >= max) set.delete(set.values().next().value as string)
  return set
}

function whereOf (filter: { scope?: string, action?: string, value?: string }): Record<string, string> {
  return Object.fromEntries(
    Object.entries(filter).filter(([, value]) => value !== undefined && value !== null)
  ) as Record<string, string>
}

function checkTtl (ttlSeconds: number | null): void {
  if (
    ttlSeconds !== null && (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > TTL_SECONDS_MAX)
  ) throw new NEKO_ERR_INPUT_INVALID('ttlSeconds must be from 1 to ten years')
}

function asDocument (decision: Decision): { id: string } & { [key: string]: Json } {
  return { ...decision } as unknown as { id: string } & { [key: string]: Json }
}
