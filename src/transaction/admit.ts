import type { Decisions } from '../decisions/decisions.ts'
import type { Decision } from '../decisions/shapes.ts'
import { NEKO_ERR_BLOCKED, NEKO_ERR_OVERLOADED } from '../errors.ts'
import type { Identity } from '../identity/identity.ts'
import type { Limits } from '../limits/limiter.ts'
import type { LimitAnswer } from '../limits/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { countedByWords } from '../telemetry/tallies.ts'
import { createBlockedTries } from './blocked-tries.ts'
import { countedAs, isCrossSite } from './cross-site.ts'
import { refusalFrom, refuseByLimit, type Refusal } from './refusal.ts'
import { decisionAbout, isBlock } from './standing-block.ts'
import type { Transaction } from './transaction.ts'
import type { UnnamedProxies } from './unnamed-proxies.ts'

/**
 * The second call, hops 1 to 4: standing decision, credential, decision about the caller, limit. Cheapest first: an
 * address that is blocked and shows no credential costs one look-up in memory and no promise, since a blocked flood is
 * most of what a defence sees.
 */
export interface AdmitParts {
  decisions: Pick<Decisions, 'forAddress' | 'byPeopleAbout' | 'forCaller'>
  identity: Pick<Identity, 'authenticate' | 'recall'>
  limits: Pick<Limits, 'peekNamed' | 'takeNamed' | 'take' | 'isHeld'>
  metrics: Pick<Metrics, 'limitDecisionsTotal'>
  unnamedProxies: Pick<UnnamedProxies, 'note'>
  clock: Pick<Clock, 'monotonic'>
  isOverloaded (): boolean
  /** CORS_ORIGIN. */
  corsOrigins: readonly string[]
}

export type Admit = (transaction: Transaction) => Refusal | null | Promise<Refusal | null>

const BLOCKED = refusalFrom(new NEKO_ERR_BLOCKED(), { bodyUnread: true })
const OVERLOADED: Refusal = {
  ...refusalFrom(new NEKO_ERR_OVERLOADED('1'), { bodyUnread: true }),
  retryAfterSeconds: 1
}

export function createAdmit (parts: AdmitParts): Admit {
  const { decisions, identity, limits, metrics, unnamedProxies, isOverloaded, corsOrigins } = parts
  const tries = createBlockedTries(parts)
  const decided = countedByWords(metrics.limitDecisionsTotal, ['tier', 'result', 'store'])

  return function admit (transaction) {
    // A sample that others saw is refused by none of our decisions and limits.
    if (transaction.authority === 'sample') {
      // The page of another site made it, not the client that would have to answer for it.
      transaction.acts &&= !isCrossSite(transaction, { corsOrigins, mayBePlain: false })
      return null
    }
    // Hop 1: an address that is blocked and shows no credential goes no further.
    const byAddress = decisions.forAddress(transaction.address as string, transaction.neverBlockApplies)
    if (transaction.shown !== null) {
      return isBlock(byAddress) && tries.refusesCredential(transaction)
        ? refuseByDecision(transaction, byAddress)
        : authenticate(transaction, byAddress)
    }
    return admitCaller(transaction, byAddress, null)
  }

  /**
   * Hop 2: who asks. An address with too many refused credentials is refused before any cryptography, except for one
   * that is known to hold.
   */
  async function authenticate (transaction: Transaction, byAddress: Decision | null): Promise<Refusal | null> {
    const guesses = limits.peekNamed('standard', 'failed', transaction.client)
    const known = guesses.allowed ? null : identity.recall(transaction.shown!)
    if (!guesses.allowed && known === null) return refuseByLimit(transaction, counted(guesses))
    const credential = known ?? await identity.authenticate(transaction.shown!)
    let failures: LimitAnswer | null = null
    if (credential.state === 'held') {
      transaction.principal = credential.principal
      transaction.client = credential.principal.clientKey
    } else if (credential.state === 'refused') {
      transaction.credentialRefused = credential.reason
      if (isBlock(byAddress)) await tries.countRefused(transaction)
      failures = counted(await limits.takeNamed('standard', 'failed', transaction.client))
      if (!failures.allowed) return refuseByLimit(transaction, failures)
    }
    return await admitCaller(transaction, byAddress, failures)
  }

  /**
   * Hop 3: decisions about the key, user or session; an allow there lifts the block of its address, and a valid
   * credential the block that a rule made.
   */
  function admitCaller (
    transaction: Transaction,
    byAddress: Decision | null,
    failures: LimitAnswer | null
  ): Refusal | null | Promise<Refusal | null> {
    if (transaction.unnamedProxy !== null) unnamedProxies.note(transaction)
    const decision = transaction.decision = decisionAbout(decisions, transaction, byAddress)
    if (!isBlock(decision)) return limit(transaction, failures)
    const reads = tries.reads(transaction, decision)
    return reads === false ? refuseByDecision(transaction, decision) : admitSignIn(transaction, decision, reads)
  }

  /** From a blocked address: `inspect` goes on with it when it is a login. */
  async function admitSignIn (
    transaction: Transaction,
    block: Decision,
    reads: boolean | Promise<boolean>
  ): Promise<Refusal | null> {
    transaction.signsIn = await reads
    return transaction.signsIn ? await limit(transaction, null) : refuseByDecision(transaction, block)
  }

  /**
   * Hop 4: the caller's limit. Refused credentials are counted already, and a rate that challenges impose must not hide
   * from their bearer that they do not hold.
   */
  function limit (transaction: Transaction, failures: LimitAnswer | null): Refusal | null | Promise<Refusal | null> {
    const { client, principal, shown } = transaction
    if (failures !== null && limits.isHeld(client)) return admitWithin(transaction, failures)
    transaction.crossSite = shown === null && isCrossSite(transaction, { corsOrigins, mayBePlain: true })
    const taken = limits.take(principal?.tier ?? 'standard', countedAs(transaction))
    return taken instanceof Promise
      ? taken.then((answer) => admitWithin(transaction, counted(answer)))
      : admitWithin(transaction, counted(taken))
  }

  function admitWithin (transaction: Transaction, answer: LimitAnswer): Refusal | null {
    transaction.limit = answer
    if (!answer.allowed) return refuseByLimit(transaction, answer)
    transaction.submittedSample = maySubmitSamples(transaction)
    return isOverloaded() ? OVERLOADED : null
  }

  function counted (answer: LimitAnswer): LimitAnswer {
    const { tier, allowed, store } = answer
    decided(tier, allowed ? 'allowed' : 'refused', store).inc()
    return answer
  }
}

function refuseByDecision (transaction: Transaction, block: Decision): Refusal {
  transaction.decision = block
  transaction.refusedBy = 'decision'
  return BLOCKED
}

/** True for a caller whose body, on this route, holds other people's requests. */
function maySubmitSamples ({ route, principal }: Transaction): boolean {
  return route.bodyScope !== null && principal?.scopes.includes(route.bodyScope) === true
}
