import type { History } from '../clients/history.ts'
import type { Decisions } from '../decisions/decisions.ts'
import { decideVerdict, type Thresholds } from '../decisions/verdict.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import { NEKO_ERR_BLOCKED, NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import type { Limits } from '../limits/limiter.ts'
import type { Threads } from '../threads/plugin.ts'
import type { Ask, Later } from '../threads/shapes.ts'
import { isSignIn } from './blocked-tries.ts'
import { isRefusedForCarried } from './carried.ts'
import type { CatchUp } from './catch-up.ts'
import { holdAfterChallenges } from './challenge-hold.ts'
import { countedAs } from './cross-site.ts'
import type { Decoys } from './decoys.ts'
import { asksDecoysOnly } from './graphql-decoys.ts'
import { asHeld, withoutOperation } from './held-score.ts'
import { createObserver } from './observe.ts'
import { decidingScore, OWN_DATA, weighsPayload, withoutOwnData, type EraseData } from './own-data.ts'
import { refusalFrom, type Refusal } from './refusal.ts'
import { isBlock } from './standing-block.ts'
import { asksOnlyToAssess, SUBMITTED_BODY } from './submitted-sample.ts'
import { isTokenAlone } from './token-attack.ts'
import type { Body, Transaction } from './transaction.ts'
import { leaveOut, markUnjudged, remarkUnjudged, unjudgedRefusalOf } from './unjudged.ts'

/**
 * The third call, hops 5 to 7: what the request is, what it scores, what that means. Every transaction that was
 * admitted is scored before anything else is said of it, so that hostile text is judged before it is parsed, and a
 * refused credential or a broken body does not escape judgement.
 *
 * A verdict that is missing because of the client's own doing (its text used up the threads, its own work stands before
 * it, it put something where nobody reads) refuses the request. A verdict that is missing because of us is made up for:
 * the answer in a hurry decides now, and the full score is caught up with.
 */
export interface InspectParts {
  clients: Pick<History, 'observe' | 'peek'>
  threads: Pick<Threads, 'ask' | 'recall'>
  decisions: Pick<Decisions, 'forAddress'>
  limits: Pick<Limits, 'hold'>
  decoys: Pick<Decoys, 'isTouchedBy'>
  thresholds: Thresholds
  /** Bytes of a body that a route takes from anybody; the rest is named in the receipt as not inspected. */
  bodyBytesMax: number
  /** Playbooks hear of it now: a decoy answers slowly on purpose, and its block must not begin with the end of that. */
  respond (transaction: Transaction): void
  eraseData: EraseData
  catchUp: CatchUp
}

/** @param body null when the request has none */
export type Inspect = (transaction: Transaction, body: Body | null) => Refusal | null | Promise<Refusal | null>

const BEARER = { headers: { 'www-authenticate': 'Bearer' } }
const BLOCKED = refusalFrom(new NEKO_ERR_BLOCKED())
/** What a blocked address sent that was no login; the rest of it is not waited for. */
const NO_SIGN_IN = refusalFrom(new NEKO_ERR_BLOCKED(), { bodyUnread: true })
const UNAUTHENTICATED = refusalFrom(new NEKO_ERR_UNAUTHENTICATED(), BEARER)

export function createInspect (parts: InspectParts): Inspect {
  const { threads, decisions, limits, decoys, thresholds, respond, eraseData, catchUp } = parts
  const observe = createObserver(parts.clients)

  return function inspect (transaction, body) {
    if (transaction.signsIn && !isSignIn(body)) return refuseByDecision(transaction)
    see(transaction, body)
    const score = transaction.authority === 'sample' ? null : threads.recall(transaction.observation!)
    if (score !== null) {
      transaction.score = score
      decide(transaction)
      const isPlain = body?.end !== 'over' && isUnremarkable(transaction, thresholds.challenge)
      if (isPlain) return refusalOf(transaction, body, thresholds)
    }
    return inspectInFull(transaction, body)
  }

  async function inspectInFull (transaction: Transaction, body: Body | null): Promise<Refusal | null> {
    const score = transaction.score ?? await ask(transaction)
    if (transaction.submittedSample) leaveOut(score, SUBMITTED_BODY)
    if (body?.end === 'over') leaveOut(score, `body: what follows the first ${parts.bodyBytesMax} bytes`)
    if (transaction.authority === 'sample') return await adviseOnSample(transaction)
    if (transaction.route.isDecoy) score.decoy = true
    decide(transaction)
    if (isOfBody(transaction) && asksOnlyToAssess(transaction)) await scoreWithoutBody(transaction)
    else if (weighsPayload(transaction, thresholds.challenge)) {
      await judgeWithoutData(transaction)
      await scoreWithoutOperation(transaction)
    }
    holdAfterChallenges(asHeld(transaction, thresholds), limits)
    if (transaction.verdict!.action === 'BLOCK' && asksOnlyDecoys(transaction)) transaction.score!.decoy = true
    await lookAtCarried(transaction, parts)
    if (transaction.route.isDecoy) respond(transaction)
    return refusalOf(transaction, body, thresholds)
  }

  async function ask (transaction: Transaction): Promise<Score> {
    const { score, unjudged, later } = await threads.ask(transaction.observation!, askOf(transaction))
    transaction.unjudged = unjudged
    // What others sent is not held against who hands it in, neither now nor later.
    if (later !== null && !asksOnlyToAssess(transaction)) {
      const rest = withoutOperation(transaction)
      later.then((found) => makeUp(transaction, found, rest))
    }
    transaction.score = score
    return score
  }

  /** What is judged, and what its client did before. */
  function see (transaction: Transaction, body: Body | null): void {
    transaction.body = body?.bytes ?? null
    // A body that nobody announced is not there to be left out.
    transaction.submittedSample &&= body !== null
    transaction.observation = observe(transaction)
  }

  /** An authorised caller's `assess` carries what others sent: it is looked at again without its body. */
  async function scoreWithoutBody (transaction: Transaction): Promise<void> {
    transaction.observation = { ...transaction.observation!, body: null }
    const score = await ask(transaction)
    leaveOut(score, SUBMITTED_BODY)
    decide(transaction)
  }

  /** What an authorised caller may write is data: its score is kept, and the verdict is that of the rest. */
  async function judgeWithoutData (transaction: Transaction): Promise<void> {
    const observation = withoutOwnData(transaction, eraseData)
    if (observation === null) return
    const { score } = await threads.ask(observation, askOf(transaction))
    if (score.value >= transaction.score!.value && score.beyond === transaction.score!.beyond) return
    transaction.scoreWithoutData = score
    leaveOut(transaction.score!, OWN_DATA)
    decide(transaction)
  }

  /** What is refused or challenged for an operation of a signed-in caller is not held against the caller. */
  async function scoreWithoutOperation (transaction: Transaction): Promise<void> {
    const score = decidingScore(transaction)!
    if (transaction.verdict!.action === 'ALLOW' || score.value < thresholds.challenge) return
    const observation = withoutOperation(transaction)
    if (observation === null) return
    const { score: rest } = await threads.ask(observation, askOf(transaction))
    if (rest.value < score.value) transaction.heldScore = rest
  }

  /** A full score that came later: a caller's operation is not held against it then either. */
  async function makeUp (transaction: Transaction, found: Later, rest: Observation | null): Promise<void> {
    if (rest === null || found.score === null || found.score.value < thresholds.block) {
      return catchUp(transaction, found)
    }
    const { score, later } = await threads.ask(rest, askOf(transaction))
    catchUp(transaction, later === null ? { score, exhausts: false } : await later)
  }

  function decide (transaction: Transaction): void {
    const { decision, method } = transaction
    transaction.verdict = decideVerdict({ score: decidingScore(transaction)!, decision, method, thresholds })
  }

  /** A sample is advised on as a request here would be decided: a standing block stands whatever the score. */
  async function adviseOnSample (transaction: Transaction): Promise<null> {
    const { address, neverBlockApplies } = transaction
    remarkUnjudged(transaction)
    transaction.decision = address === null ? null : decisions.forAddress(address, neverBlockApplies)
    decide(transaction)
    if (isBlock(transaction.decision) || transaction.unjudged === 'exhausts') {
      transaction.verdict = { ...transaction.verdict!, action: 'BLOCK' }
    }
    if (transaction.acts && decoys.isTouchedBy(transaction, isRefused(transaction))) transaction.score!.decoy = true
    if (transaction.acts) await lookAtCarried(transaction, parts)
    return null
  }
}

/** In this order: its score, that it has none, what is wrong with its body, its credential. */
function refusalOf (transaction: Transaction, body: Body | null, thresholds: Thresholds): Refusal | null {
  // A decoy answers its bait whatever the verdict, and the standing block starts with the next request; what makes no
  // block is refused there as elsewhere.
  if (isRefused(transaction) && (transaction.crossSite || transaction.score!.decoy !== true)) {
    transaction.refusedBy = 'score'
    return isTokenAlone(transaction, thresholds.challenge) ? UNAUTHENTICATED : BLOCKED
  }
  const unjudged = unjudgedRefusalOf(transaction, body, thresholds)
  if (unjudged !== null) {
    markUnjudged(transaction)
    return unjudged
  }
  return transaction.credentialRefused === null ? null : UNAUTHENTICATED
}

async function lookAtCarried (
  transaction: Transaction,
  { threads, thresholds }: Pick<InspectParts, 'threads' | 'thresholds'>
): Promise<void> {
  if (transaction.verdict?.action !== 'BLOCK') return
  const rescore = (observation: Observation): ReturnType<typeof threads.ask> =>
    threads.ask(observation, askOf(transaction))
  transaction.refusedForCarried = await isRefusedForCarried(transaction, { thresholds, rescore })
}

function askOf (transaction: Transaction): Ask {
  const { submitter } = transaction
  return submitter === null
    ? { client: countedAs(transaction), secondTry: true, patient: false }
    : { client: submitter, secondTry: false, patient: true }
}

/** Nothing follows from its score: no thread has to be asked anything, and nobody waits. */
function isUnremarkable (transaction: Transaction, challengeThreshold: number): boolean {
  return transaction.verdict!.action === 'ALLOW' && !transaction.submittedSample && !transaction.route.isDecoy &&
    !isOfBody(transaction) && !weighsPayload(transaction, challengeThreshold)
}

/** It would be refused for what its body holds, as far as it was read. */
function isOfBody ({ verdict, score }: Transaction): boolean {
  return verdict!.action === 'BLOCK' || score!.beyond === 'body'
}

/** Its score blocks it, and not only in shadow. */
function isRefused ({ verdict }: Transaction): boolean {
  return verdict?.action === 'BLOCK' && !verdict.simulated
}

function asksOnlyDecoys ({ route, target, body }: Transaction): boolean {
  return route.isGraphql && asksDecoysOnly(target, body)
}

function refuseByDecision (transaction: Transaction): Refusal {
  transaction.refusedBy = 'decision'
  return NO_SIGN_IN
}
