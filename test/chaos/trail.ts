import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { bareEnvironment } from '../server.ts'
import { allOf } from './lists.ts'
import { told, type Asker, type Entry, type History, type Subject } from './history.ts'

/** The audit trail, held against the history: one event for each acknowledgement, none for a refusal. */
/** `assessmentId`: of its request, or of the older receipt that it is about; then `details.request` names the request. */
interface Event { id: string, type: string, outcome: string, assessmentId: string | null, details: string | null }

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

export class Trail {
  readonly #events = new Map<string, Event>()
  #readUntil = new Date(0).toISOString()

  /** Problems of the entries since; those whose event is still to come are `late`. */
  async problems (asker: Asker, history: History, { sinceMs, headers }: { sinceMs: number, headers: Record<string, string> }): Promise<{ wrong: string[], late: string[] }> {
    const read = new Date().toISOString()
    const wrong: string[] = []
    const seen = new Set<string>()
    const events = await allOf<Event>(asker, 'auditEvents', { nodes: 'id type outcome assessmentId details', headers, where: `, since: "${this.#readUntil}"` })
    for (const event of events) {
      if (seen.has(event.id)) wrong.push(`the event ${event.id} is listed twice`)
      seen.add(event.id)
      this.#events.set(event.id, event)
    }
    const counts = this.#countByRequest()
    const late: string[] = []
    for (const subject of history.subjects) {
      for (const entry of subject.entries) {
        if (entry.atMs < sinceMs || entry.receipt === null) continue
        const problem = problemOf(subject, entry, counts.get(`${entry.event} ${entry.receipt}`) ?? 0)
        if (problem !== null) (problem.isLate ? late : wrong).push(problem.text)
      }
    }
    if (late.length === 0) this.#readUntil = read
    return { wrong, late }
  }

  /** Events that hold, by type and request: those that their own process took back do not count. */
  #countByRequest (): Map<string, number> {
    const detailsOf = new Map([...this.#events.values()].map((event) => [event, JSON.parse(event.details ?? '{}') as { request?: string, takesBack?: string }]))
    const takenBack = new Set([...detailsOf.values()].flatMap(({ takesBack }) => takesBack ?? []))
    const counts = new Map<string, number>()
    for (const [{ id, type, outcome, assessmentId }, { request }] of detailsOf) {
      if (outcome !== 'OK' || takenBack.has(id)) continue
      const key = `${type} ${request ?? assessmentId}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return counts
  }
}

function problemOf (subject: Subject, { event, receipt, outcome }: Entry, count: number): { isLate: boolean, text: string } | null {
  const most = outcome === 'refused' ? 0 : 1
  const least = outcome === 'acknowledged' ? 1 : 0
  if (count >= least && count <= most) return null
  return { isLate: count < least, text: `${count} events ${event} of the request ${receipt}, which was ${outcome}\n  ${told(subject)}` }
}

/** `neko audit verify`: null when it holds, else what it said. */
export async function verifyProblem (dataDir: string, env: Record<string, string>): Promise<string | null> {
  const child = spawn(process.execPath, [CLI, 'audit', 'verify'], { cwd: dataDir, env: { ...bareEnvironment(), NODE_ENV: 'test', DATA_DIR: dataDir, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { text += chunk.toString() })
  const [code] = await once(child, 'close') as [number | null]
  return code === 0 ? null : `audit verify ended with ${code}: ${text.slice(-1500)}`
}
