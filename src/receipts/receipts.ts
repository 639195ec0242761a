/**
 * Assessments: the receipt of every request, and what can be asked about them.
 *
 * Owns: the recent receipts of this process, the stored ones, the figures, allowances for false alarms. Never
 * does: score, judge or refuse. In: what the gate knew of a request when its answer had left; out:
 * assessments without secrets.
 *
 * A receipt's id names its process, so any process finds it: in its own memory, in the memory of the one that made it,
 * or in the store. On the request path a receipt costs 1-2 us; redaction and JSON wait until somebody asks or
 * it is stored.
 */
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { processOfReceipt } from '../std/id.ts'
import { keepBelowCeiling } from './ceiling.ts'
import { explainAssessment } from './explain.ts'
import { REQUESTS_MAX, readRequest } from '../transports/assess/samples.ts'
import { createFalsePositives } from './false-positives.ts'
import { createLive, type Live } from './live.ts'
import { createRecentReceipts, describeReceipt } from './recent-receipts.ts'
import { createRecorder } from './recorder.ts'
import { describeReplay, replayAssessment } from './replay.ts'
import { createSharedStats } from './stats-sharing.ts'
import { WINDOW_SECONDS_MAX } from './stats.ts'
import { allowanceCollection, assessmentCollection } from './shapes.ts'
import type { ExternalRequest } from '../transports/assess/samples.ts'
import type { Receipt, Recorded, Refused } from './recent-receipts.ts'
import type { AssessRequest, Assessment, Stats, StoredAllowance, StoredAssessment } from './shapes.ts'
import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Config } from '../config/config.ts'
import type { Action, Verdict } from '../decisions/shapes.ts'
import type { History } from '../clients/history.ts'
import type { Threads } from '../threads/plugin.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Page, Storage, Where } from '../storage/port.ts'

export interface AssessmentFilter { minScore?: number | null, action?: Action | null, since?: number | null }
export interface PageOptions { first: number, after: string | null }
/** An assessment as `POST /v1/assess` answers it. */
export interface AssessedRequest {
  id: string
  score: number
  action: Action
  factors: Array<{ name: string, contribution: number, evidence: string[] }>
}
export interface AssessOptions { act: boolean, principal: { clientKey: string } }
/** Told of each receipt when it is made; `describe` redacts, so call it only for those that are shown. */
export type AddedListener = (receipt: Receipt, describe: () => Assessment) => void

/** `isRefused`: the score refuses it, which only some decoys answer all the same. */
export type DecoyTest = (request: Pick<Observation, 'method' | 'url' | 'body'>, isRefused: boolean) => boolean

export interface Receipts {
  /** A scored request whose answer has left. Never throws. */
  record (receipt: Recorded): void
  /** A request refused before it was scored; of a flood of them the receipts of 500 a second are kept. */
  recordRefusal (receipt: Refused): void
  /** From memory, the process that made it, or the store; null when nobody has it any more. */
  get (id: string): Promise<Assessment | null>
  /** Recorded assessments, newest first. */
  find (filter: AssessmentFilter, page: PageOptions): Promise<Page<Assessment>>
  count (filter: AssessmentFilter): Promise<number>
  /** Those of a list of ids that can still be found, as a connection. */
  pageOf (
    ids: readonly string[],
    page: PageOptions
  ): Promise<
    {
      nodes: Assessment[],
      edges: Array<{ node: Assessment, cursor: string }>,
      pageInfo: {
        hasNextPage: boolean,
        hasPreviousPage: boolean,
        startCursor: string | null,
        endCursor: string | null
      },
      totalCount: number
    }
  >
  /** @throws NEKO_ERR_INPUT_INVALID unless 1 to 86,400 */
  stats (windowSeconds: number): Promise<Stats>
  /** The printable waterfall, or null. */
  explain (id: string): Promise<string | null>
  /**
   * The score worked out again from the stored observation, printable, or null. @throws
   * NEKO_ERR_INPUT_INVALID when it was refused before scoring or scored in a hurry
   */
  replay (id: string): Promise<string | null>
  /** Scores what others saw: up to 100, answers in the same order. @throws NEKO_ERR_INPUT_INVALID */
  assess (requests: readonly AssessRequest[], options: AssessOptions): Promise<AssessedRequest[]>
  /** The same with whole assessments. */
  assessRequests (requests: readonly AssessRequest[], options: AssessOptions): Promise<Assessment[]>
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID, NEKO_ERR_AUDIT_UNAVAILABLE */
  markFalsePositive (id: string, actor: string): Promise<{ allowances: StoredAllowance[], changedVerdicts: number }>
  /** For this long every receipt of the client is stored, whatever its score (within the rate). */
  watch (client: string, ms: number): void
  /** Whoever answers decoys says what touches one: asked of requests that are handed in to be acted on. */
  recognizeDecoys (touches: DecoyTest): void
  onAdded (listener: AddedListener): () => void
  /** Receipts as they are made in any process, at most 50 a second of each. */
  onShown: Live['subscribe']
  load (): Promise<void>
  /** Everything offered so far is in the store. */
  flush (): Promise<void>
  close (): Promise<void>
}

export interface ReceiptParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  config: Pick<Config, 'assessmentRetentionDays'>
  log: { warn: (facts: object, message: string) => void, error: (facts: object, message: string) => void }
  threads: Pick<Threads, 'score' | 'policy' | 'allow' | 'rescore'>
  clients: Pick<History, 'observe' | 'peek' | 'settle'>
  /** Score, and the standing decision about an address if one was given, to Verdict (decisions/verdict.ts). */
  judge (score: Score, about: { address: string | null, method: string }): Verdict
}

const ASK_MS = 500
const GET_QUESTION = 'assessments.get'
const WATCHED_MAX = 10_000
/** Requests of one `assess` that are with the threads at once, so that it does not crowd out live requests. */
const ASSESSED_AT_ONCE = 16
const CEILING_EVERY_MS = 5 * 60_000
/**
 * What a blocked client's flood adds beyond it is only counted: it must not push other clients' receipts out
 * of memory.
 */
const REFUSALS_KEPT_PER_SECOND = 500

export function createReceipts (parts: ReceiptParts): Receipts {
  const { storage, fleet, clock, log, threads, clients } = parts
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  const receipts = createRecentReceipts(clock)
  const stats = createSharedStats({ fleet, clock })
  const recorder = createRecorder({ store, clock, retentionDays: parts.config.assessmentRetentionDays, log })
  const falsePositives = createFalsePositives({
    store: storage.collection<StoredAllowance>(allowanceCollection),
    audit: parts.audit,
    fleet,
    clock,
    receipts,
    allow: threads.allow,
    score: threads.score,
    judge: (score, { method }) => parts.judge(score, { address: null, method }).action
  })
  const listeners = new Set<AddedListener>()
  const watched = new Map<string, number>()
  const mintId = createExternalIds(fleet.processId)
  let touchesDecoy: DecoyTest = () => false
  let refusalSecond = 0
  let refusalsKept = 0

  const onAdded = (listener: AddedListener): () => void => {
    listeners.add(listener)
    return () => { listeners.delete(listener) }
  }
  const live = createLive({ fleet, clock, onAdded })

  function isWatched (client: string): boolean {
    if (watched.size === 0) return false
    const until = watched.get(client)
    if (until === undefined) return false
    if (until > clock.monotonic()) return true
    watched.delete(client)
    return false
  }

  function mayKeepRefusal (): boolean {
    const second = Math.floor(clock.monotonic() / 1000)
    if (second !== refusalSecond) {
      refusalSecond = second
      refusalsKept = 0
    }
    return refusalsKept++ < REFUSALS_KEPT_PER_SECOND
  }

  function add (given: Receipt, client: string): void {
    const receipt = receipts.keep(given)
    recorder.offer(receipt, isWatched(client))
    if (listeners.size === 0) return
    const describe = (): Assessment => describeReceipt(receipt)
    for (const listener of listeners) {
      try {
        listener(receipt, describe)
      } catch (error) {
        log.error({ err: error }, 'a listener of assessments failed')
      }
    }
  }

  function remembered (id: string): Assessment | null {
    const receipt = receipts.get(id)
    return receipt === null ? null : describeReceipt(receipt)
  }

  async function get (id: string): Promise<Assessment | null> {
    const own = remembered(id)
    const processId = processOfReceipt(id)
    if (own !== null || processId === null) return own
    const elsewhere = processId === fleet.processId
      ? Promise.resolve([])
      : fleet.ask(GET_QUESTION, id, { timeoutMs: ASK_MS, processId })
    // Both at once: the process that made it may be gone, and the store may be down.
    const [answers, stored] = await Promise.all([
      elsewhere,
      store.get(id).then(withoutBookkeeping, (error: unknown) => error as Error)
    ])
    if (answers[0] !== undefined && answers[0] !== null) return answers[0] as unknown as Assessment
    if (stored instanceof Error) throw stored
    return stored
  }

  async function assessRequests (requests: readonly AssessRequest[], { act }: AssessOptions): Promise<Assessment[]> {
    if (requests.length < 1 || requests.length > REQUESTS_MAX) {
      throw new NEKO_ERR_INPUT_INVALID(`requests must be from 1 to ${REQUESTS_MAX}`)
    }
    const at = clock.now()
    const read = requests.map((request, index) => readRequest(request, { id: mintId(), at, index }))
    const assessed: Assessment[] = []
    for (let i = 0; i < read.length; i += ASSESSED_AT_ONCE) {
      assessed.push(...await Promise.all(read.slice(i, i + ASSESSED_AT_ONCE).map((one) => assessOne(one, act))))
    }
    return assessed
  }

  async function assessOne ({ observation, address }: ExternalRequest, act: boolean): Promise<Assessment> {
    if (address !== null) {
      observation.history = act
        ? clients.observe(observation, { address: observation.client.slice(3) })
        : clients.peek(observation)
    }
    const score = await threads.score(observation)
    const verdict = parts.judge(score, { address, method: observation.method })
    if (act && touchesDecoy(observation, verdict.action === 'BLOCK' && !verdict.simulated)) score.decoy = true
    const receipt: Recorded = {
      observation,
      score,
      verdict,
      status: 0,
      decisionId: null,
      address: address ?? '',
      at: observation.at,
      external: true
    }
    if (act && address !== null) {
      clients.settle({
        client: observation.client,
        address: observation.client.slice(3),
        status: 0,
        action: verdict.action,
        score: score.value
      })
    }
    // Whoever acts on receipts hears of those only that are meant to be acted on.
    if (act) {
      stats.count(verdict.action, score.value, score.factors)
      add(receipt, observation.client)
    } else {
      receipts.keep(receipt)
      recorder.offer(receipt, false)
    }
    return describeReceipt(receipt)
  }

  fleet.answer(GET_QUESTION, (id) => (typeof id === 'string' ? remembered(id) as unknown as Json : null))
  const ceiling = setInterval(() => {
    // One process of the host is enough.
    if (fleet.slot === 0) {
      keepBelowCeiling(store).catch((error: unknown) =>
        log.warn({ err: error }, 'old receipts could not be removed')
      )
    }
  }, CEILING_EVERY_MS).unref()

  return {
    record (receipt) {
      stats.count(receipt.verdict.action, receipt.score.value, receipt.score.factors)
      add(receipt, receipt.observation.client)
    },
    recordRefusal (receipt) {
      stats.count('BLOCK', 0, [])
      if (mayKeepRefusal()) add(receipt, receipt.client)
    },
    get,
    async find (filter, { first, after }) {
      const page = await store.find({ where: whereOf(filter), sort: [['at', -1]], first, after })
      return { ...page, items: page.items.map((one) => withoutBookkeeping(one) as Assessment) }
    },
    count: (filter) => store.count(whereOf(filter)),
    async pageOf (ids, { first, after }) {
      const start = after === null ? 0 : ids.indexOf(after) + 1
      const wanted = ids.slice(start, start + first)
      const nodes = (await Promise.all(wanted.map((id) => get(id)))).filter((one) => one !== null)
      return {
        nodes,
        edges: nodes.map((node) => ({ node, cursor: node.id })),
        pageInfo: {
          hasNextPage: start + first < ids.length,
          hasPreviousPage: after !== null,
          startCursor: wanted[0] ?? null,
          endCursor: wanted.at(-1) ?? null
        },
        totalCount: ids.length
      }
    },
    async stats (windowSeconds) {
      if (!Number.isInteger(windowSeconds) || windowSeconds < 1 || windowSeconds > WINDOW_SECONDS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`windowSeconds must be from 1 to ${WINDOW_SECONDS_MAX}`)
      }
      return await stats.of(windowSeconds)
    },
    async explain (id) {
      const assessment = await get(id)
      return assessment === null ? null : explainAssessment(assessment)
    },
    async replay (id) {
      const assessment = await get(id)
      if (assessment === null) return null
      const replay = replayAssessment(assessment, threads)
      if (replay === null) throw new NEKO_ERR_INPUT_INVALID(`${id} cannot be replayed: no thread scored it`)
      return describeReplay(assessment, replay)
    },
    assessRequests,
    async assess (requests, options) {
      return (await assessRequests(requests, options)).map(({ id, score, action, factors }) => ({
        id,
        score,
        action,
        factors: factors.map(showFactor)
      }))
    },
    async markFalsePositive (id, actor) {
      const assessment = await get(id)
      if (assessment === null) throw new NEKO_ERR_NOT_FOUND('There is no such assessment')
      return await falsePositives.mark(assessment, actor)
    },
    watch (client, ms) {
      if (watched.size >= WATCHED_MAX) watched.delete(watched.keys().next().value as string)
      watched.set(client, clock.monotonic() + ms)
    },
    recognizeDecoys (touches) { touchesDecoy = touches },
    onAdded,
    onShown: live.subscribe,
    load: falsePositives.load,
    flush: recorder.flush,
    async close () {
      clearInterval(ceiling)
      falsePositives.close()
      live.close()
      await Promise.all([stats.close(), recorder.close()])
    }
  }
}

/** Evidence as sentences: what GraphQL and `/v1/assess` show. */
export function showFactor (
  { name, contribution, evidence }: Assessment['factors'][number]
): AssessedRequest['factors'][number] {
  return { name, contribution, evidence: evidence.map((one) => one.text) }
}

function whereOf ({ minScore, action, since }: AssessmentFilter): Where {
  const where: Where = {}
  if (action !== null && action !== undefined) where['action'] = action
  if (since !== null && since !== undefined) where['at'] = { gte: since }
  if (minScore !== null && minScore !== undefined) {
    if (!(minScore >= 0 && minScore <= 100)) throw new NEKO_ERR_INPUT_INVALID('minScore must be from 0 to 100')
    where['score'] = { gte: minScore }
  }
  return where
}

function withoutBookkeeping (stored: (StoredAssessment & { revision?: number }) | null): Assessment | null {
  if (stored === null) return null
  const { expiresAt: _expiresAt, revision: _revision, ...assessment } = stored
  return assessment
}

/** Ids of the gate count from 0; these lie far above them in the same process's numbers. */
function createExternalIds (processId: string): () => string {
  let count = 0
  return () => `as_${processId}_1${(count++).toString(36).padStart(10, '0')}`
}
