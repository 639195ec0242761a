/**
 * The server that `bench/cached.ts` measures: NEKO in production with a probe in it (driver-probe.ts), as many actors
 * as an import of several sources brings, and its administrator logged in.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Question, Reading } from './driver-probe.ts'
import { ask, logIn, startNeko, type Running } from './price-servers.ts'

export interface ProbedServer extends Running {
  /** Of the administrator. */
  token: string
  actors: readonly Actor[]
  read (): Promise<Reading>
  /** After a full collection of garbage. */
  readCollected (): Promise<Reading>
  /** Of the cache of GraphQL's answers. */
  cacheStats (): Promise<CacheStats>
}

export interface Actor { id: string, name: string }
export interface CacheStats { entries: number, bytes: number, bytesMax: number, hits: number, misses: number }

/** ATT&CK and MISP's galaxy together know some 900. */
const ACTORS = 1_000
/** Some 3,600 characters: of an actor as long as those of ATT&CK with their techniques and references. */
const DESCRIPTION = 'A group that was made up to be measured; it does nothing, and says so in some words. '.repeat(42)
const PROBE = new URL('./driver-probe.ts', import.meta.url).href
const PROBE_LOOK_MS = 10
/** Half a minute, and looks instead of a clock: while the machine stands still nobody is late. */
const PROBE_LOOKS_MAX = 3_000
let probes = 0

/** @throws when it does not come up, or does not take the actors. */
export async function startProbed (directory: string, env: Record<string, string> = {}): Promise<ProbedServer> {
  const file = join(directory, `probe-${probes++}.json`)
  const server = await startNeko(directory, {
    NODE_OPTIONS: `--import=${PROBE}`,
    PROBE_FILE: file,
    ...env
  })
  const token = await logIn(server.port)
  await importActors(server.port, token)
  const actors = await readActors(server.port)
  if (actors.length < ACTORS) throw new Error(`of ${ACTORS} actors that were imported ${actors.length} are there`)
  return {
    ...server,
    token,
    actors,
    read: () => readProbe(server.pid, file, 'count'),
    readCollected: () => readProbe(server.pid, file, 'collect'),
    async cacheStats () {
      const query = '{ cacheStats { name entries bytes bytesMax hits misses } }'
      const stats = await ask(server.port, query, token) as { cacheStats: Array<CacheStats & { name: string }> }
      const found = stats.cacheStats.find(({ name }) => name === 'graphql')
      if (found === undefined) throw new Error('the server has no cache of the name graphql')
      return found
    }
  }
}

/** Executions of reads, of all threads and tables. */
export function readsIn ({ readsByTable, readsOfThreads }: Reading): number {
  return Object.values(readsByTable).reduce((sum, reads) => sum + reads, readsOfThreads)
}

async function readProbe (pid: number, file: string, question: Question): Promise<Reading> {
  writeFileSync(file, question)
  process.kill(pid, 'SIGUSR2')
  for (let looks = 0; looks < PROBE_LOOKS_MAX; looks++) {
    await wait(PROBE_LOOK_MS)
    const text = readFileSync(file, 'utf8')
    if (text !== question) return JSON.parse(text) as Reading
  }
  throw new Error(`the probe in the server ${pid} does not answer`)
}

async function importActors (port: number, token: string): Promise<void> {
  const objects = Array.from({ length: ACTORS }, (_, i) => {
    const number = String(i).padStart(12, '0')
    return {
      type: 'intrusion-set',
      id: `intrusion-set--00000000-0000-4000-8000-${number}`,
      name: `Measured Group ${number}`,
      aliases: [`Measured Cluster ${number}`],
      description: DESCRIPTION,
      modified: '2025-01-01T00:00:00.000Z'
    }
  })
  const reply = await fetch(`http://127.0.0.1:${port}/v1/intel/import?format=stix`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'bundle', id: 'bundle--00000000-0000-4000-8000-000000000000', objects })
  })
  const text = await reply.text()
  if (reply.status !== 200) throw new Error(`the import is answered with ${reply.status} ${text.slice(0, 500)}`)
}

async function readActors (port: number): Promise<Actor[]> {
  const actors: Actor[] = []
  let after: string | null = null
  do {
    const page = `{ threatActors(first: 100, after: ${JSON.stringify(after)}) {
      nodes { id name } pageInfo { endCursor hasNextPage }
    } }`
    const { threatActors: { nodes, pageInfo } } = await ask(port, page) as {
      threatActors: { nodes: Actor[], pageInfo: { endCursor: string, hasNextPage: boolean } }
    }
    actors.push(...nodes)
    after = pageInfo.hasNextPage ? pageInfo.endCursor : null
  } while (after !== null && actors.length < 2 * ACTORS)
  return actors
}
