import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { openInspector } from '../../inspector.ts'
import { sendRaw } from '../../raw-socket.ts'
import { scaled } from '../../scale.ts'
import { startServer } from '../../server.ts'

/** Requests that are too large in every way, on raw sockets: refused, the connection closed, memory unmoved. */
const MB = 1_048_576
// Taking coverage keeps counts of its own.
const RSS_GROWTH_MAX = (process.env.NODE_V8_COVERAGE === undefined ? 16 : 64) * MB
const ROUNDS = scaled(6, 10)
const WARM_ROUNDS = scaled(3, 5)
const SAMPLES = scaled(4, 5)
/** Ends a test that would hang. */
const HANGS_MS = 20_000
const head = (more: string): string => `POST /graphql HTTP/1.1\r\nHost: neko\r\nContent-Type: application/json\r\n${more}\r\n`

function * tenMegabytes (): Generator<string | Buffer> {
  yield head(`Content-Length: ${10 * MB}\r\n`)
  for (let i = 0; i < 160; i++) yield Buffer.alloc(MB / 16, 0x20)
}

/** Chunks without a length in front: 2 MB in 64 KiB chunks, */
function * chunkFlood (): Generator<string | Buffer> {
  yield head('Transfer-Encoding: chunked\r\n')
  for (let i = 0; i < 32; i++) yield `10000\r\n${' '.repeat(65_536)}\r\n`
}

/** one byte in each of 80,000 chunks, */
function * tinyChunks (): Generator<string | Buffer> {
  yield head('Transfer-Encoding: chunked\r\n')
  for (let i = 0; i < 80; i++) yield '1\r\n \r\n'.repeat(1000)
}

/** and a chunk whose extension is longer than any body. */
function * chunkExtension (): Generator<string | Buffer> {
  yield head('Transfer-Encoding: chunked\r\n')
  yield `1;${'x'.repeat(40_000)}`
}

const zipped = gzipSync(Buffer.alloc(5 * MB, 0x20))
const CASES: Array<{ title: string, status: number, parts: () => Iterable<string | Buffer> }> = [
  { title: 'one header of 20 kB', status: 431, parts: () => [`GET /health HTTP/1.1\r\nHost: neko\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`] },
  { title: '1,300 headers', status: 431, parts: () => [`GET /graphql?query={health{status}} HTTP/1.1\r\nHost: neko\r\n${Array.from({ length: 1300 }, (_, i) => `a${i}: b\r\n`).join('')}\r\n`] },
  { title: '1,300 headers on a health route', status: 431, parts: () => [`GET /health HTTP/1.1\r\nHost: neko\r\n${Array.from({ length: 1300 }, (_, i) => `a${i}: b\r\n`).join('')}\r\n`] },
  { title: '10 MB of body', status: 413, parts: tenMegabytes },
  { title: 'chunks without end', status: 413, parts: chunkFlood },
  { title: 'chunks of one byte', status: 413, parts: tinyChunks },
  { title: 'an endless chunk extension', status: 413, parts: chunkExtension },
  { title: 'a packed body', status: 415, parts: () => [head(`Content-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n`), zipped] }
]

t.test('what is too large is refused and the connection ends', async (t) => {
  const server = await startServer(t, { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '1000000/60/0', LOG_LEVEL: 'warn' } })
  const inspector = await openInspector(server)
  t.teardown(() => inspector.close())
  // Garbage that nobody has collected yet is not held by anybody.
  const rss = async (): Promise<number> => {
    await inspector.heapBytes()
    return rssNow()
  }
  const rssNow = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) * 1024
  const round = async (): Promise<void> => {
    for (const { title, status, parts } of CASES) {
      const answer = await sendRaw(server.port, parts(), HANGS_MS)
      t.same([answer.statuses, answer.closed], [[status], true], `${title}: ${answer.text.slice(0, 120)}`)
      t.match(answer.text, /NEKO_ERR_/, title)
    }
  }
  // The first rounds load code and fill buffers.
  for (let i = 0; i < WARM_ROUNDS; i++) await round()
  const before = await rss()
  // What the allocator keeps for later goes up and down by 20 MB; what is held stays. So the lowest of the last samples counts.
  const growths: number[] = []
  let peak = 0
  for (let i = 0; i < ROUNDS; i++) {
    await round()
    peak = Math.max(peak, rssNow())
    growths.push(await rss() - before)
  }
  const growth = Math.min(...growths.slice(-SAMPLES))
  t.comment(`${CASES.length * (ROUNDS + WARM_ROUNDS)} requests; RSS ${(before / MB).toFixed(0)} MB, then ${(growth / MB).toFixed(1)} MB more (${growths.map((one) => (one / MB).toFixed(0)).join(' ')}; ${((peak - before) / MB).toFixed(1)} before a collection)`)
  t.ok(growth <= RSS_GROWTH_MAX)
  t.equal((await fetch(`${server.url}/health`)).status, 200)
})
