import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { asAdmin, createTestClient, dataOf, makeKey, productionEnv, type TestClient } from '../e2e/client.ts'
import { bareEnvironment, startServer, type StartedServer, type Teardown } from '../server.ts'
import { createConnections, headerOf, requestBytes, type Answer } from './connections.ts'
import { ordinaryBodies } from './ordinary-bodies.ts'

/**
 * A slow or throttled machine is no fault of the caller: ordinary bodies are answered, none is scored in a hurry where
 * there is time, and nothing is held against who sent them.
 */
t.setTimeout(120_000)

const BODY_BYTES_MIN = 6_144
const BODY_BYTES_MAX = 65_536
/** The root fields that one query may have. */
const IDS_PER_QUERY = 10
const RECEIPT = 'action degraded notInspected factors { name evidence }'

interface Seen {
  status: Record<string, number>
  receipts: Receipt[]
  decisions: number
  incidents: number
  /** Lines of the log about scoring threads that ended. */
  stopped: number
}
interface Receipt {
  action: string
  degraded: boolean
  notInspected: string[]
  factors: Array<{ name: string, evidence: string[] }>
}
interface Count { totalCount: number }

/** No limit of requests interferes, and the client is anonymous: to nobody is less allowed. */
async function start (t: Teardown): Promise<{ server: StartedServer, reader: TestClient }> {
  const limits = { RATE_LIMIT_STANDARD: '1000000/60/0', RATE_LIMIT_MAX: '1000000' }
  const env = { ...productionEnv(), ...limits, TRUST_PROXY: '127.0.0.0/8', LOG_LEVEL: 'warn', NODE_V8_COVERAGE: '' }
  const server = await startServer(t, { env })
  const client = createTestClient(t, server)
  const { key } = await makeKey(await asAdmin(client), ['read'])
  return { server, reader: client.as({ 'x-api-key': key }) }
}

/** Halts the process for half of each 100 ms, as a quota of half a processor does. */
function throttle (t: Teardown, pid: number): () => Promise<void> {
  const file = fileURLToPath(new URL('half-time.ts', import.meta.url))
  const stdio: ['pipe', 'inherit', 'inherit'] = ['pipe', 'inherit', 'inherit']
  const child = spawn(process.execPath, [file, String(pid)], { env: bareEnvironment(), stdio })
  const ended = new Promise((resolve) => child.once('close', resolve))
  const letGo = async (): Promise<void> => {
    child.stdin.end()
    await ended
  }
  t.teardown(letGo)
  return letGo
}

interface Sending { from: string, connections: number, count: number }

async function sendOrdinary (server: StartedServer, { from, connections, count }: Sending): Promise<Answer[]> {
  const lanes = createConnections(server.port, connections)
  const bodies = ordinaryBodies(count, { seed: connections, minBytes: BODY_BYTES_MIN, maxBytes: BODY_BYTES_MAX })
  const answers = await Promise.all(bodies.map((body) => lanes.send(requestBytes(from, 'POST /graphql', { body }))))
  lanes.close()
  return answers
}

async function seenOf (server: StartedServer, reader: TestClient, answers: Answer[]): Promise<Seen> {
  const status: Record<string, number> = {}
  for (const answer of answers) status[answer.status] = (status[answer.status] ?? 0) + 1
  const receipts: Receipt[] = []
  const ids = answers.map(({ head }) => headerOf(head, 'x-neko-assessment')).filter((id) => id !== '')
  for (let i = 0; i < ids.length; i += IDS_PER_QUERY) {
    const some = ids.slice(i, i + IDS_PER_QUERY)
    const fields = some.map((id, k) => `a${k}: assessment(id: "${id}") { ${RECEIPT} }`)
    const found = await dataOf<Record<string, Receipt | null>>(reader.graphql(`{ ${fields.join(' ')} }`))
    receipts.push(...Object.values(found).filter((receipt) => receipt !== null))
  }
  const counts = '{ decisions { totalCount } incidents { totalCount } }'
  const { decisions, incidents } = await dataOf<Record<'decisions' | 'incidents', Count>>(reader.graphql(counts))
  const stopped = server.logs().filter(({ msg }) => /scoring thread/.test(String(msg))).length
  return { status, receipts, decisions: decisions.totalCount, incidents: incidents.totalCount, stopped }
}

const hurriedOf = ({ receipts }: Seen): number => receipts.filter(({ degraded }) => degraded).length

/** Nobody was refused, and no receipt, decision, incident or line of the log holds anything against the client. */
function checkNoSigns (t: Test, { status, receipts, decisions, incidents, stopped }: Seen, count: number): void {
  t.same(status, { 200: count }, 'every body is answered')
  t.equal(receipts.length, count)
  t.same(receipts.filter(({ action }) => action !== 'ALLOW'), [], 'and allowed')
  const ofContent = receipts.flatMap(({ factors }) => factors).filter(({ name }) => /^(?:endpoint|payload)$/.test(name))
  t.same(ofContent.flatMap(({ evidence }) => evidence), [], 'nothing is seen in what was asked for')
  t.same({ decisions, incidents }, { decisions: 0, incidents: 0 })
  t.equal(stopped, 0, 'no scoring thread was stopped')
}

const { server, reader } = await start(t)
// The first large body of a process starts the thread for them.
await sendFirst(server)

for (const [connections, count] of [[3, 320], [16, 320]] as const) {
  t.test(`at ${connections} connections no ordinary body is scored in a hurry`, async (t) => {
    const answers = await sendOrdinary(server, { from: `198.51.100.${connections}`, connections, count })
    const seen = await seenOf(server, reader, answers)
    t.equal(hurriedOf(seen), 0, 'none in a hurry')
    t.same([...new Set(seen.receipts.flatMap(({ notInspected }) => notInspected))], [], 'and nothing left out')
    checkNoSigns(t, seen, count)
  })
}

t.test('under a quota of half a processor ordinary bodies are neither refused nor held against anybody', async (t) => {
  const letGo = throttle(t, server.pid)
  const started = performance.now()
  const answers = await sendOrdinary(server, { from: '198.51.100.50', connections: 16, count: 640 })
  const tookMs = Math.round(performance.now() - started)
  await letGo()
  const seen = await seenOf(server, reader, answers)
  t.comment(`${tookMs} ms; ${hurriedOf(seen)} scored in a hurry`)
  checkNoSigns(t, seen, 640)
})

async function sendFirst (server: StartedServer): Promise<void> {
  const lane = createConnections(server.port, 1)
  const [body] = ordinaryBodies(1, { seed: 99, minBytes: BODY_BYTES_MIN, maxBytes: BODY_BYTES_MAX })
  await lane.send(requestBytes('198.51.100.99', 'POST /graphql', { body: body! }))
  await new Promise((resolve) => setTimeout(resolve, 500))
  lane.close()
}
