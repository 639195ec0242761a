/**
 * Which part of the walk does a sample of V8's profiler lie in? A table of files, the nearest caller that stands in it,
 * and the shares of all samples that this comes to.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Profile {
  nodes: ReadonlyArray<{ id: number, callFrame: { functionName: string, url: string }, children?: number[] }>
  samples: readonly number[]
  timeDeltas: readonly number[]
}

/** Node, Fastify, and the kernel's reading and writing. */
export const OUTSIDE = 'Node and Fastify'

/** The first that matches a file's path counts; a file of none (`src/std/`) counts for whoever called it. */
const PARTS: ReadonlyArray<readonly [part: string, files: RegExp]> = [
  ['log', /\/(?:telemetry\/(?:line-sink|logger|output)|request-line)\.ts$|\/node_modules\/(?:pino|sonic-boom)\//],
  ['receipt', /\/src\/(?:receipts|storage|journal)\//],
  ['metrics', /\/src\/telemetry\/|\/node_modules\/prom-client\//],
  ['limits', /\/src\/limits\//],
  ['history', /\/src\/clients\//],
  ['observation', /\/src\/transaction\/observe\.ts$|\/src\/detect\/(?:observation-codec|request-content)\.ts$/],
  ['hand-over', /\/src\/threads\//],
  ['score', /\/src\/(?:detect|decisions|playbooks|incidents)\//],
  ['headers', /\/src\/transports\/http\/(?:own-headers|prepared-answers|verdict-headers|cors)\.ts$/],
  ['cache', /\/src\/(?:cache|transports\/graphql|schema|intel)\//],
  ['gate', /\/src\/(?:transports|transaction|identity|processes|std\/pipelines)\b/],
  [OUTSIDE, /^node:|\/node_modules\//]
]
/** The kernel's, whoever writes. */
const WRITES = /^(?:write(?:Latin1String|Utf8String|AsciiString|Ucs2String|String|Buffer|v)|shutdown)$/
/** Neither is of one request: told apart, and part of NEKO's own since bare Fastify has little of them. */
const OF_V8 = new Map([['(garbage collector)', 'collection'], ['(program)', 'native']])

/** Shares of the main thread's samples under load, by part; all of them are 1. */
export function sharesOf (directory: string, pid: number): Map<string, number> {
  const file = readdirSync(directory).find((name) => name.includes(`.${pid}.0.`))
  if (file === undefined) throw new Error('the sampled server wrote no profile')
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as Profile
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const known = new Map<number, string | null>()

  /** Null for what no request causes. */
  function partOf (id: number): string | null {
    const part = known.get(id)
    if (part !== undefined) return part
    const { functionName, url } = frames.get(id)!
    const parent = parents.get(id)
    let found = OF_V8.get(functionName) ?? PARTS.find(([, files]) => files.test(url))?.[0] ?? null
    if (WRITES.test(functionName) && url === '') found = OUTSIDE
    // What Node does for a caller of ours (a text cut, a number shown) is that caller's.
    const isNeutral = found === null || (url.startsWith('node:') && parent !== undefined)
    if (isNeutral && parent !== undefined) found = partOf(parent) ?? found
    known.set(id, found)
    return found
  }

  const sums = new Map<string, number>()
  let all = 0
  // What loads and warms up comes first.
  for (let i = Math.floor(samples.length / 3); i < samples.length; i++) {
    const id = samples[i] as number
    if (frames.get(id)!.functionName === '(idle)') continue
    const part = partOf(id) ?? 'native'
    const us = timeDeltas[i + 1] ?? 0
    sums.set(part, (sums.get(part) ?? 0) + us)
    all += us
  }
  return new Map([...sums].map(([part, us]) => [part, us / all]))
}

/** What stands behind "Budget:" at the head of a file: names and microseconds. @throws when nothing does */
export function budgetIn (file: URL): Map<string, number> {
  const text = /Budget: ([^;]+);/.exec(readFileSync(file, 'utf8').replaceAll(/\n \* ?/g, ' '))?.[1] ?? ''
  const budget = new Map([...text.matchAll(/([a-z-]+) (\d+(?:\.\d+)?)/g)].map(([, name, us]) => [name!, Number(us)]))
  if (budget.size === 0) throw new Error(`no budget stands in ${file.pathname}`)
  return budget
}
