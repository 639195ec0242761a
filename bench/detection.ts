/**
 * Replays a corpus through the real server over HTTP and reads what it decided from its answers: TPR and FPR per class,
 * balanced accuracy, macro over classes, the twin group, ROC AUC, the worst misses and false alarms, blocked and challenged.
 *
 * `node bench/detection.ts <jsonl or jsonl.gz>... [--concurrency 16] [--worst 20] [--class name] [--per-address 50] [--assess] [--mode ring]`
 *
 * Each request goes out byte for byte on a connection of its own (the server's parser sees what the record holds, odd and
 * repeated headers included) and from an address of its own, by X-Forwarded-For. With `--per-address n` the benign records go
 * n to an address, one after the other, and standing blocks are counted: those that really stood (answers by decision), and
 * those that the rule of the playbooks makes of the answers' headers. `--assess` asks /v1/assess for the same records and
 * compares.
 */
import { connect } from 'node:net'
import { startServer } from '../test/server.ts'
import { bodyOf, headersOf, option, readCorpora } from './corpus.ts'
import type { CorpusRecord, CorpusRequest, Scored } from './corpus.ts'
import { countBans, out, printReport } from './detection-report.ts'

interface Answer { status: number, score: number | null, action: Scored['action'] | null, factors: string }

const ANSWER_TIMEOUT_MS = 15_000
const HEAD_BYTES_MAX = 65_536
const ATTEMPTS_MAX = 3
const ASSESSED_AT_ONCE = 50
const PASSWORD = 'a pass phrase for the bench'
/** What Node's parser, or the server before the gate, makes of requests that are no HTTP: refused without a score. */
const REFUSED_STATUSES = new Set([400, 403, 405, 413, 414, 417, 431, 501, 505])

/** 198.18.0.0/15 is set aside for benches (RFC 2544): 131,072 addresses. */
function addressOf (index: number): string {
  return `198.${18 + (index >> 16 & 1)}.${index >> 8 & 255}.${index & 255}`
}

function bytesOf (request: CorpusRequest, address: string): Buffer {
  const body = bodyOf(request)
  const headers = headersOf(request)
  let framed = body === null
  let head = `${request.method} ${request.url} HTTP/1.1\r\n`
  for (let at = 0; at < headers.length; at += 2) {
    head += `${headers[at]}: ${headers[at + 1]}\r\n`
    if (/^(?:content-length|transfer-encoding)$/i.test(headers[at] as string)) framed = true
  }
  head += `X-Forwarded-For: ${address}\r\n`
  if (!framed) head += `Content-Length: ${body!.length}\r\n`
  const start = Buffer.from(head + '\r\n')
  return body === null ? start : Buffer.concat([start, body])
}

/** The head of the first response that is none of 1xx, or null when none came in time. */
async function send (port: number, bytes: Buffer): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>()
  const socket = connect(port, '127.0.0.1')
  let text = ''
  const finish = (): void => resolve(headIn(text))
  socket.setTimeout(ANSWER_TIMEOUT_MS, finish)
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    if (headIn(text) !== null || text.length > HEAD_BYTES_MAX) finish()
  })
  socket.on('error', finish).on('close', finish)
  socket.write(bytes)
  const head = await promise
  socket.destroy()
  return head
}

function headIn (text: string): string | null {
  let from = 0
  for (;;) {
    const end = text.indexOf('\r\n\r\n', from)
    if (end === -1) return null
    if (!text.startsWith('HTTP/1.1 1', from)) return text.slice(from, end)
    from = end + 4
  }
}

async function ask (port: number, record: CorpusRecord, address: string): Promise<Answer> {
  const bytes = bytesOf(record.request, address)
  for (let attempt = 1; ; attempt++) {
    const head = await send(port, bytes)
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head ?? '')?.[1] ?? 0)
    // Shed under pressure, or no answer: that says nothing about the request.
    if ((status !== 503 && status !== 0) || attempt === ATTEMPTS_MAX) {
      const score = /\r\nx-neko-score: ([\d.]+)/i.exec(head ?? '')
      return { status, score: score === null ? null : Number(score[1]), action: (/\r\nx-neko-action: (\w+)/i.exec(head ?? '')?.[1] ?? null) as Answer['action'], factors: /\r\nx-neko-factors: ([^\r]*)/i.exec(head ?? '')?.[1] ?? '' }
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * attempt))
  }
}

/** An answer without a score is a refusal by the parser, or a route that is not gated. */
function scoredOf (record: CorpusRecord, answer: Answer): Scored {
  if (answer.score !== null && answer.action !== null) return { record, score: answer.score, action: answer.action, grade: null, why: answer.factors }
  const refused = REFUSED_STATUSES.has(answer.status)
  return { record, score: refused ? 100 : 0, action: refused ? 'BLOCK' : 'ALLOW', grade: null, why: `no score, status ${answer.status}` }
}

/** Runs `work` over hands of consecutive records, `concurrency` hands at once; records of a hand one after the other. */
async function replay (records: CorpusRecord[], handSize: number, concurrency: number, work: (record: CorpusRecord, hand: number) => Promise<Answer>): Promise<Answer[]> {
  const answers = new Array<Answer>(records.length)
  let next = 0
  const runner = async (): Promise<void> => {
    for (let hand = next++; hand * handSize < records.length; hand = next++) {
      for (let at = hand * handSize; at < Math.min(records.length, (hand + 1) * handSize); at++) answers[at] = await work(records[at]!, hand)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, runner))
  return answers
}

async function assess (url: string, records: CorpusRecord[], over: Scored[]): Promise<void> {
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}): Promise<never> => {
    const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json', 'user-agent': 'neko-bench/1.0', ...headers }, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${(await answer.text()).slice(0, 300)}`)
    return await answer.json() as never
  }
  const login = await post('/graphql', { query: 'mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }', variables: { p: PASSWORD } }) as { data: { login: { accessToken: string } } }
  const authorization = `Bearer ${login.data.login.accessToken}`
  let same = 0
  const others: string[] = []
  for (let from = 0; from < records.length; from += ASSESSED_AT_ONCE) {
    const requests = records.slice(from, from + ASSESSED_AT_ONCE).map(({ request }) => ({ method: request.method, url: request.url, headers: request.headers, body: request.body ?? null, body_b64: request.body_b64 ?? null }))
    const { assessments } = await post('/v1/assess', { requests }, { authorization }) as { assessments: Array<{ score: number, action: string }> }
    for (const [at, { score }] of assessments.entries()) {
      const there = over[from + at]!
      if (Math.abs(Math.round(score) - there.score) <= 1) same++
      else others.push(`${there.record.class} ${there.record.id}: over HTTP ${there.score} (${there.why}), assessed ${score}`)
    }
  }
  out(`\n/v1/assess: ${same} of ${records.length} within a point of the score over HTTP`)
  for (const line of others.slice(0, Number(option('worst', '20')))) out('  ' + line)
}

/**
 * Standing blocks twice: what the rule makes of each request's own receipt (scores that only its content explains), and
 * what really stood behind one address, where history counts as well: a corpus of other sites' traffic is mostly unknown
 * paths and changing agents here, which is what a scanner looks like.
 */
function printHands (scored: Scored[], answers: Answer[]): void {
  const contentAlone = scored.map((one): Scored => /behavior|frequency|timing/.test(one.why) || /^no score/.test(one.why) ? { ...one, score: 0, action: 'ALLOW' } : one)
  const { bans, addresses } = countBans(contentAlone, handSize)
  const stood = new Set(answers.flatMap((answer, at) => answer.status === 403 && answer.score === null ? [Math.floor(at / handSize)] : []))
  out(`standing blocks at ${handSize} requests per address: ${bans} of ${addresses} by what the requests hold, ${stood.size} stood with history`)
  const limited = answers.filter((answer) => answer.status === 429).length
  out(`answered 429 (challenged three times and held to the strict rate): ${limited} of ${answers.length}`)
  const factors = new Map<string, number>()
  for (const one of scored) if (one.action === 'BLOCK' && !/^no score/.test(one.why)) factors.set(one.why.split('=')[0]!, (factors.get(one.why.split('=')[0]!) ?? 0) + 1)
  out(`refused by score, by strongest factor: ${[...factors].map(([name, count]) => `${name} ${count}`).join(', ')}`)
}

const teardowns: Array<() => unknown> = []
const handSize = Number(option('per-address', '1'))
const records = readCorpora().filter((record) => handSize === 1 || record.label === 'benign')
try {
  const server = await startServer({ teardown: (handler) => teardowns.unshift(handler) }, {
    env: { TRUST_PROXY: '127.0.0.1/32', EXPOSE_SCORE: 'true', NEVER_BLOCK: '192.0.2.255/32', SCORING_MODE: option('mode', 'ring'), LOG_LEVEL: 'warn', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '1000000/60/0' }
  })
  const started = performance.now()
  const answers = await replay(records, handSize, Number(option('concurrency', '16')), (record, hand) => ask(server.port, record, addressOf(hand)))
  const seconds = (performance.now() - started) / 1000
  const scored = records.map((record, at) => scoredOf(record, answers[at]!))
  printReport(scored, Number(option('worst', '20')))
  const unscored = answers.filter((answer) => answer.score === null)
  const statuses = Object.entries(Object.groupBy(unscored, (answer) => answer.status)).map(([status, list]) => `${status}: ${list!.length}`)
  out(`\n${records.length} requests in ${seconds.toFixed(0)} s; ${unscored.length} answers without a score (${statuses.join(', ')})`)
  if (handSize > 1) printHands(scored, answers)
  if (process.argv.includes('--assess')) await assess(server.url, records, scored)
} finally {
  for (const teardown of teardowns) await teardown()
}
