import { Client, request } from 'undici'
import { BROWSER } from '../e2e/client.ts'
import type { Answer, Asker } from './history.ts'

/** Longer than any standstill of the trial. */
const ANSWER_TIMEOUT_MS = 40_000
const CONNECTIONS_MAX = 60

type Send = (options: { path: string, method: 'GET' | 'POST', headers: Record<string, string>, body: string | null }) =>
ReturnType<typeof request>

/** Over a connection of its own for each question, so that any process may answer. */
export function freshAsker (url: string, onAnswer: (answer: Answer) => void): Asker {
  return askerOver(onAnswer, ({ path, headers, ...rest }) => request(url + path, {
    ...rest,
    headers: { ...headers, connection: 'close' },
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS
  }))
}

export interface Pinned extends Asker { processId: string, close (): Promise<void> }

/** One connection to each process, found by opening connections until all have answered. */
export async function pinnedAskers (url: string, processes: number, onAnswer: (answer: Answer) => void): Promise<Pinned[]> {
  const found = new Map<string, Pinned>()
  const spare: Client[] = []
  for (let tries = 0; tries < CONNECTIONS_MAX && found.size < processes; tries++) {
    const client = new Client(url, { headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS, keepAliveTimeout: 60_000 })
    const asker = askerOver(onAnswer, (options) => client.request(options))
    const { processId } = await asker.graphql('{ __typename }', {}, { 'x-forwarded-for': '203.0.113.250' })
    if (processId === null || found.has(processId)) spare.push(client)
    else found.set(processId, { ...asker, processId, close: () => client.close() })
  }
  await Promise.all(spare.map((client) => client.close()))
  if (found.size < processes) throw new Error(`only ${[...found.keys()].join(' ')} answered over ${CONNECTIONS_MAX} connections`)
  return [...found.values()]
}

function askerOver (onAnswer: (answer: Answer) => void, send: Send): Asker {
  const ask = async (options: Parameters<Send>[0]): Promise<Answer> => {
    const { statusCode, headers, body } = await send({ ...options, headers: { ...BROWSER, ...options.headers } })
    const answer = answerOf(statusCode, headers, await body.text())
    onAnswer(answer)
    return answer
  }
  return {
    ask: (path, headers) => ask({ path, method: 'GET', headers, body: null }),
    graphql: (query, variables, headers) => ask({ path: '/graphql', method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ query, variables }) })
  }
}

interface Body {
  data?: Record<string, unknown> | null
  errors?: Array<{ message: string, extensions?: { code?: string } }>
}

function answerOf (status: number, headers: Record<string, string | string[] | undefined>, text: string): Answer {
  const { data = null, errors = [] } = parsed(text)
  const receipt = String(headers['x-neko-assessment'])
  return {
    status,
    data,
    code: errors.length === 0 ? null : errors[0]!.extensions?.code ?? `untyped: ${errors[0]!.message}`,
    processId: /^as_([^_]+)_/.exec(receipt)?.[1] ?? null,
    receipt,
    score: Number(headers['x-neko-score'] ?? 0)
  }
}

function parsed (text: string): Body {
  try {
    return JSON.parse(text) as Body
  } catch {
    return {}
  }
}
