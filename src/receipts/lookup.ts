import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { processOfReceipt } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { Collection, Page, Where } from '../storage/port.ts'
import { REDACTION_VERSION, cleanReceipt } from './cleaning.ts'
import { describeReceipt, type RecentReceipts } from './recent-receipts.ts'
import type { Assessment, StoredAssessment } from './shapes.ts'
import type { Slices } from './slices.ts'

export interface AssessmentFilter { minScore?: number | null, action?: Action | null, since?: number | null }
interface PageOptions { first: number, after: string | null }

/** Some receipts of a list of ids, as a connection of GraphQL. */
interface ReceiptPage {
  nodes: Assessment[]
  edges: Array<{ node: Assessment, cursor: string }>
  pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null }
  totalCount: number
}

/**
 * Where receipts are found again. An id names the process that made it, so any process finds its receipt: in its own
 * memory, in the memory of the one that made it, or in the store.
 */
export interface Lookup {
  /** Out of this process's memory alone, or null. */
  remembered (id: string): Promise<Assessment | null>
  /** From memory, the process that made it, or the store; null when nobody has it any more. */
  get (id: string): Promise<Assessment | null>
  /** Recorded assessments, newest first. */
  find (filter: AssessmentFilter, page: PageOptions): Promise<Page<Assessment>>
  count (filter: AssessmentFilter): Promise<number>
  /** Those of a list of ids that can still be found. */
  pageOf (ids: readonly string[], page: PageOptions): Promise<ReceiptPage>
}

const ASK_MS = 500
const GET_QUESTION = 'assessments.get'

interface LookupParts {
  fleet: Pick<Fleet, 'processId' | 'ask' | 'answer'>
  recent: RecentReceipts
  slices: Slices
  store: Collection<StoredAssessment>
}

export function createLookup ({ fleet, recent, slices, store }: LookupParts): Lookup {
  fleet.answer(GET_QUESTION, async (id) =>
    typeof id === 'string' ? await remembered(id) as unknown as Json : null)

  async function remembered (id: string): Promise<Assessment | null> {
    const receipt = recent.get(id)
    return receipt === null ? null : await slices.run(() => describeReceipt(receipt))
  }

  async function get (id: string): Promise<Assessment | null> {
    const own = await remembered(id)
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

  return {
    remembered,
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
    }
  }
}

/** @throws NEKO_ERR_INPUT_INVALID unless minScore is from 0 to 100 */
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
  const known = (stored.redaction ?? 0) >= REDACTION_VERSION ? stored : cleanReceipt(stored)
  const { expiresAt: _expiresAt, revision: _revision, redaction: _redaction, ...assessment } = known
  return assessment
}
