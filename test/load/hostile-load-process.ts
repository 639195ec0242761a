import { createConnections, headerOf, requestBytes, type Answer, type Connections } from './connections.ts'
import { floodOf, ordinaryFor, type Due, type Kind, type Scenario } from './hostile-traffic.ts'

/**
 * Sends the traffic of hostile-traffic.ts from a process of its own, each request when it is due whether or not those
 * before it were answered, and tells its parent what came back. First a quiet spell of ordinary traffic alone.
 */
export interface LoadOrder { port: number, scenario: Scenario, seconds: number, quietSeconds: number }

/** Counts by status; `503` and `429` without Retry-After are told apart. */
export interface KindSeen { statuses: Record<string, number>, ms: { p50: number, p99: number, max: number } }
export interface LoadSeen {
  /** Of all ordinary requests, before the flood and in it. */
  ordinaryMs: { quiet: KindSeen['ms'], flood: KindSeen['ms'] }
  quiet: Partial<Record<Kind, KindSeen>>
  flood: Partial<Record<Kind, KindSeen>>
  /** The longest that /health/live took, asked every 20 ms on a connection of its own. */
  liveMsMax: number
  /** The latest that this process itself sent a request. */
  lateMsMax: number
}
export type LoadMessage = { phase: 'flood' } | { seen: LoadSeen }

const CONNECTIONS_MAX = 256
const WARM_SECONDS = 2
const TICK_MS = 2

const order = JSON.parse(process.argv[2] as string) as LoadOrder
const connections = createConnections(order.port, CONNECTIONS_MAX)
const pulse = createConnections(order.port, 1)

await send(connections, ordinaryFor(WARM_SECONDS))
const quiet = await send(connections, ordinaryFor(order.quietSeconds))
const due = floodOf(order.scenario, order.seconds)
tell({ phase: 'flood' })
const live = watchLiveness(pulse)
const flood = await send(connections, due)
const liveMsMax = await live.stop()
connections.close()
pulse.close()
tell({
  seen: {
    ordinaryMs: { quiet: ordinaryMs(quiet.answers), flood: ordinaryMs(flood.answers) },
    quiet: summaries(quiet.answers),
    flood: summaries(flood.answers),
    liveMsMax,
    lateMsMax: flood.lateMsMax
  }
})
process.disconnect?.()

function tell (message: LoadMessage): void {
  process.send?.(message)
}

interface Sent { answers: Map<Kind, Answer[]>, lateMsMax: number }

async function send (through: Connections, list: Due[]): Promise<Sent> {
  const answers = new Map<Kind, Answer[]>()
  const pending: Array<Promise<void>> = []
  const startMs = performance.now()
  let next = 0
  let lateMsMax = 0
  while (next < list.length) {
    const nowMs = performance.now() - startMs
    for (; next < list.length && list[next]!.atMs <= nowMs; next++) {
      const { kind, request, atMs } = list[next]!
      const dueMs = startMs + atMs
      lateMsMax = Math.max(lateMsMax, performance.now() - dueMs)
      pending.push(through.send(request, dueMs).then((answer) => {
        answers.set(kind, answers.get(kind) ?? [])
        answers.get(kind)!.push(answer)
      }))
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS))
  }
  await Promise.all(pending)
  return { answers, lateMsMax }
}

function ordinaryMs (answers: Sent['answers']): KindSeen['ms'] {
  return summaryOf([...answers.get('ordinary') ?? [], ...answers.get('ordinary, large') ?? []]).ms
}

function summaries (answers: Sent['answers']): Partial<Record<Kind, KindSeen>> {
  return Object.fromEntries([...answers].map(([kind, of]) => [kind, summaryOf(of)]))
}

function summaryOf (answers: Answer[]): KindSeen {
  const statuses: Record<string, number> = {}
  for (const { status, head } of answers) {
    const isBare = (status === 429 || status === 503) && headerOf(head, 'retry-after') === ''
    const name = isBare ? `${status} without Retry-After` : String(status)
    statuses[name] = (statuses[name] ?? 0) + 1
  }
  const ms = answers.map((answer) => answer.ms).sort((a, b) => a - b)
  const at = (share: number): number => ms[Math.min(ms.length - 1, Math.floor(ms.length * share))] ?? 0
  return { statuses, ms: { p50: at(0.5), p99: at(0.99), max: at(1) } }
}

function watchLiveness (through: Connections): { stop (): Promise<number> } {
  let isOver = false
  const watching = (async () => {
    let longestMs = 0
    while (!isOver) {
      longestMs = Math.max(longestMs, (await through.send(requestBytes('192.0.2.250', 'GET /health/live'))).ms)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return longestMs
  })()
  return {
    stop () {
      isOver = true
      return watching
    }
  }
}
