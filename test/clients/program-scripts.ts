import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bareEnvironment } from '../server.ts'

/**
 * The most boring programs that people write against an API, with the headers that each sends by default and nothing
 * done to look like anything else. Each spends its tier evenly over `spanMs`, `times` times, from its own address.
 */
export interface Job {
  url: string
  /** `x-api-key: ...`, `authorization: Bearer ...`; null for a program that shows none. */
  credential: string | null
  address: string
  /** Requests of its tier in a window. */
  tier: number
  times: number
  spanMs: number
}

/** Of the limiter: a sixteenth counts in full until it has ended, and workers count that much ahead. */
const WINDOW_MS = 60_000 + 2 * 3_750 + 1_000

/** What was answered. */
export interface Came {
  /** Requests by status. */
  statuses: Record<string, number>
  /** Values of x-ratelimit-limit; empty where the program does not say. */
  limits: string[]
  /** The first answer that was no data. */
  wrong: string | null
}

export type Script = (job: Job) => Promise<Came>

const PAGE_ACTORS = 2
const UNEVEN_MS = 6_000

/** `curl` in a loop, ten requests a command: one question about ever other things. */
export const curlLoop: Script = (job) => inTurn({ ...job, tier: job.tier / CURL_BATCH }, async (batch) => {
  const args = Array.from({ length: CURL_BATCH }, (_, i) => {
    const search = `Actor ${batch * CURL_BATCH + i + 1}`
    const body = JSON.stringify({ query: `{ threatActors(search: "${search}", first: 1) { nodes { id name } } }` })
    return ['-s', '-i', ...headersOf(job).flatMap((header) => ['-H', header]), '-d', body, `${job.url}/graphql`]
  })
  const output = await run('curl', args.flatMap((some, i) => i === 0 ? some : ['--next', ...some]))
  return output.split(/(?=HTTP\/1\.1 \d{3} )/).map((answer) => {
    const end = answer.indexOf('\r\n\r\n')
    const limit = /^x-ratelimit-limit: *(\d+)/im.exec(answer)?.[1] ?? null
    return { status: answer.slice(9, 12), limit, text: answer.slice(end + 4) }
  })
})
const CURL_BATCH = 10

/** Its own command, as its README shows it. */
export const autocannonCommand: Script = async (job) => {
  const file = fileURLToPath(new URL('../../node_modules/autocannon/autocannon.js', import.meta.url))
  const headers = headersOf(job).flatMap((header) => ['-H', header.replace(': ', '=')])
  const rate = Math.ceil(job.tier * 1000 / job.spanMs)
  const body = JSON.stringify({ query: '{ threatCounts { category count } }' })
  const args = [file, '-j', '-c', '1', '-a', String(job.tier), '-R', String(rate), '-m', 'POST', ...headers, '-b', body]
  const came: Came = { statuses: {}, limits: [], wrong: null }
  for (let i = 0; i < job.times; i++) {
    const output = await run(process.execPath, [...args, `${job.url}/graphql`])
    const result = JSON.parse(output) as { statusCodeStats: Record<string, { count: number }>, errors: number }
    for (const [status, { count }] of Object.entries(result.statusCodeStats)) came.statuses[status] = (came.statuses[status] ?? 0) + count
    if (result.errors > 0) came.wrong = `${result.errors} errors`
    // As much later as it was slow, and some seconds: it does not keep to its rate evenly.
    if (i + 1 < job.times) await sleep(WINDOW_MS + UNEVEN_MS - job.tier * 1000 / rate)
  }
  return came
}

const PYTHON = `
import json, sys, time
job = json.loads(sys.argv[1])
headers = dict(line.split(': ', 1) for line in job['headers'])
try:
    import requests
    session = requests.Session()
    def ask(body):
        answer = session.post(job['url'] + '/graphql', headers=headers, data=body)
        return answer.status_code, answer.headers.get('x-ratelimit-limit'), answer.text
except ImportError:
    import urllib.request, urllib.error
    def ask(body):
        asked = urllib.request.Request(job['url'] + '/graphql', data=body.encode(), headers=headers)
        try:
            answer = urllib.request.urlopen(asked)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.headers.get('x-ratelimit-limit'), answer.read().decode()
statuses, limits, wrong, answered = {}, set(), None, []
begun, tier = time.monotonic(), job['tier']
for i in range(tier * job['times']):
    due = begun + i * job['spanMs'] / 1000 / tier
    if i >= tier: due = max(due, answered[i - tier] + job['windowMs'] / 1000)
    wait = due - time.monotonic()
    if wait > 0: time.sleep(wait)
    query = 'query ($s: String) { threatActors(search: $s, first: 1) { totalCount } }'
    status, limit, text = ask(json.dumps({'query': query, 'variables': {'s': 'Actor %d' % (i + 1)}}))
    answered.append(time.monotonic())
    statuses[str(status)] = statuses.get(str(status), 0) + 1
    if limit: limits.add(limit)
    if wrong is None and ('"errors"' in text or '"data"' not in text): wrong = text[:500]
print(json.dumps({'statuses': statuses, 'limits': sorted(limits), 'wrong': wrong}))
`

/** A loop over `requests`, or the standard library where it is not installed. */
export const pythonLoop: Script = async (job) => {
  const output = await run('python3', ['-c', PYTHON, JSON.stringify({ ...job, windowMs: WINDOW_MS, headers: headersOf(job) })])
  return JSON.parse(output) as Came
}

/** Pages through all actors, and from the start again. */
export const exporter: Script = (job) => {
  let after: string | null = null
  const query = `query ($after: String) { threatActors(first: ${PAGE_ACTORS}, after: $after) { nodes { id name } pageInfo { endCursor hasNextPage } } }`
  return inTurn(job, async () => {
    const answer = await fetchGraphql(job, { query, variables: { after } })
    const { data } = JSON.parse(answer.text) as { data?: { threatActors: { pageInfo: { endCursor: string, hasNextPage: boolean } } } | null }
    const page = data?.threatActors.pageInfo
    after = page?.hasNextPage === true ? page.endCursor : null
    return [answer]
  })
}

/** Brings a list of addresses that somebody else blocks. */
export const importer: Script = (job) => {
  const query = 'mutation ($v: String!, $r: String!) { addDecision(scope: IP, value: $v, action: BLOCK, ttlSeconds: 3600, reason: $r) { id } }'
  const block = Number(job.address.split('.')[3])
  return inTurn(job, async (i) => {
    const v = `10.${block}.${i >> 8}.${i & 255}`
    return [await fetchGraphql(job, { query, variables: { v, r: `feed entry ${i + 1}: ssh brute force` } })]
  })
}

const QUESTIONS = ['{ threatCounts { category count } }', '{ stats(windowSeconds: 60) { requests scoreP95 } }', '{ health { status } }']

/** Asks the same few things for ever. */
export const poller: Script = (job) => inTurn(job, async (i) => [await fetchGraphql(job, { query: QUESTIONS[i % QUESTIONS.length]! })])

interface Answer { status: string, limit: string | null, text: string }

async function fetchGraphql (job: Job, body: object): Promise<Answer> {
  const headers = Object.fromEntries(headersOf(job).map((header) => header.split(': ', 2) as [string, string]))
  const answer = await fetch(`${job.url}/graphql`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: String(answer.status), limit: answer.headers.get('x-ratelimit-limit'), text: await answer.text() }
}

/** The address is told by a proxy that the server trusts. */
function headersOf ({ credential, address }: Job): string[] {
  return ['content-type: application/json', `x-forwarded-for: ${address}`, ...(credential === null ? [] : [credential])]
}

/** One after the other, each when it is due, and no more of them in a window than the tier has, however late they were. */
async function inTurn ({ tier, times, spanMs }: Job, ask: (i: number) => Promise<Answer[]>): Promise<Came> {
  const came: Came = { statuses: {}, limits: [], wrong: null }
  const begunMs = performance.now()
  const answeredMs: number[] = []
  for (let i = 0; i < tier * times; i++) {
    const dueMs = Math.max(begunMs + i * spanMs / tier, (answeredMs[i - tier] ?? -Infinity) + WINDOW_MS)
    await sleep(dueMs - performance.now())
    for (const { status, limit, text } of await ask(i)) {
      came.statuses[status] = (came.statuses[status] ?? 0) + 1
      if (limit !== null && !came.limits.includes(limit)) came.limits.push(limit)
      if (came.wrong === null && (text.includes('"errors"') || !text.includes('"data"'))) came.wrong = text.slice(0, 500)
    }
    answeredMs.push(performance.now())
  }
  return came
}

async function sleep (ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
}

async function run (command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { env: bareEnvironment(), stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { output += chunk })
  await new Promise((resolve, reject) => { child.once('close', resolve).once('error', reject) })
  return output
}

export const isInstalled = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
