import fc from 'fast-check'
import { parse, specifiedRules, validate } from 'graphql'
import t from 'tap'
import { rooms } from '../../../src/rooms.ts'
import { costOf } from '../../../src/schema/armor-cost.ts'
import { ARMOR, refuseDocument, refuseJsonSource } from '../../../src/schema/armor.ts'
import { buildNekoSchema } from '../../../src/schema/build-schema.ts'
import { faultOfKeys, faultOfShape, isForbiddenParameter } from '../../../src/std/keys.ts'
import { asksDecoys, asksDecoysOnly, decoyAnswer, touchesDecoy } from '../../../src/transaction/graphql-decoys.ts'

/**
 * What the main thread does with a stranger's bytes in one turn, each with the worst that its bounds let through: no turn
 * takes more than 50 ms of CPU. The redaction of receipts is in test/receipts.
 */
const TURN_MS_MAX = 50
const BODY_BYTES = 65_536
const ASSESS_BYTES = 2 * 1_048_576
const TARGET_BYTES = 16_000

const schema = buildNekoSchema(rooms)
const fill = (unit: string, length: number): string => unit.repeat(Math.floor(length / unit.length))

/** As own-keys.ts reads a body. */
function readJson (text: string): unknown {
  if (text.length > BODY_BYTES && faultOfShape(text) !== null) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? faultOfKeys(value) : null
  } catch {
    return null
  }
}

/** As the edge reads a document: its decoys, then mercurius with the armor around it. */
function readDocument (source: string): void {
  try {
    decoyAnswer(source)
    touchesDecoy(source)
    refuseJsonSource(source)
    const document = parse(source, { maxTokens: ARMOR.tokens })
    refuseDocument(document)
    if (validate(schema, document, specifiedRules, { maxErrors: 3 }).length === 0) costOf(schema, document, {})
  } catch {}
}

/** The least of three tries: a collection of what others left behind is no fault of this turn. */
function turnMs (run: () => unknown): number {
  let least = Infinity
  for (let i = 0; i < 3 && least > TURN_MS_MAX / 2; i++) {
    const before = process.threadCpuUsage()
    run()
    const { user, system } = process.threadCpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
  }
  return least
}

function slowOf (inputs: Iterable<string>, run: (input: string) => unknown): string[] {
  return [...inputs].flatMap((input) => {
    const ms = turnMs(() => run(input))
    return ms > TURN_MS_MAX ? [`${JSON.stringify(input.slice(0, 80))}...: ${ms.toFixed(1)} ms`] : []
  })
}

const JSON_UNITS = ['[', '{"a":', '[[', '[],', '{},', '1,', '"",', '"\\n",', '"\\u0041",', '1e9,', '0.1234567890123456789,', '{"a":1},', '["a","b"],', '9', ' ', '"a":1,', '"a\\"', 'true,', '\\', '"', '-']

t.test('JSON of any shape, up to the size that its sender may send', async (t) => {
  for (const bytes of [BODY_BYTES, ASSESS_BYTES]) {
    const distinctKeys = `{${Array.from({ length: bytes / 11 }, (_, i) => `"k${i}":1`).join(',')}}`
    const indexKeys = `{${Array.from({ length: bytes / 15 }, (_, i) => `"${(i * 700_001) % 4_294_967_295}":1`).join(',')}}`
    const texts = JSON_UNITS.flatMap((unit) => ['', '[', '{"requests":[', '"', '{"query":"{ adminUsers }","a":['].flatMap((head) => {
      const text = head + fill(unit, bytes)
      return [text, `${text.replace(/,$/, '')}${head.endsWith('[') ? ']' : ''}${head.startsWith('{') ? '}' : ''}`]
    }))
    t.same(slowOf([distinctKeys, indexKeys, ...texts], readJson), [], `${bytes} bytes`)
  }
})

t.test('a body that everybody may send is parsed whatever its shape, a larger one only when it is plain', async (t) => {
  t.equal(faultOfShape(fill('[', 40)), 'deep')
  t.equal(faultOfShape(`[${fill('[],', 300_000)}`), 'wide')
  t.equal(faultOfShape(`"${fill('[{,:', 300_000)}"`), null, 'what stands in a text is not counted')
  t.equal(faultOfShape(`"${fill('\\"[', 300_000)}"`), null, 'nor behind an escaped quote')
  const requests = Array.from({ length: 100 }, () => ({ method: 'GET', url: '/', headers: Array.from({ length: 50 }, () => ['accept', 'text/html']) }))
  t.equal(faultOfShape(JSON.stringify({ requests })), null, 'a hundred requests of fifty headers')
})

const chain = (length: number, fields: string): string => Array.from({ length }, (_, i) => `fragment f${i} on Assessment { ${fields} ${i + 1 < length ? `...f${i + 1}` : ''} }`).join(' ')
const spreads = (count: number): string => Array.from({ length: count }, (_, i) => `...f${i}`).join(' ')
const search = (value: string): string => `{ threatActors(search: ${value}) { totalCount } }`

t.test('GraphQL documents of any shape', async (t) => {
  const documents = [
    ...[100, 400, 900].map((count) => `{ health { ${fill('status ', count * 7)}} }`),
    ...[10, 40, 90].flatMap((length) => ['id', 'id id', 'id score decision { id }', 'decision { id } decision { id }'].map((fields) => `{ threats { nodes { ...f0 } } } ${chain(length, fields)}`)),
    ...[20, 60, 100].map((count) => `{ threats { nodes { ${spreads(count)} } } } ${Array.from({ length: count }, (_, i) => `fragment f${i} on Assessment { id }`).join(' ')}`),
    `{ ${fill('threats { nodes { decision { id id id id id id } decision { id id id id id id } } nodes { decision { id id } } } ', 900)} }`,
    `{ ${fill('... on Query { ', 150 * 15)} health { status } ${fill('}', 150)} }`,
    `query (${Array.from({ length: 200 }, (_, i) => `$v${i}: String`).join(' ')}) { health { status } }`,
    `mutation { assess(requests: [${fill('{method:"a",url:"b"} ', 100 * 21)}]) { id } }`,
    `mutation { assess(requests: [{${fill('method:"a" ', 300 * 11)}}]) { id } }`,
    `{ threats(action: ${fill('BLOC', 64_000)}) { totalCount } }`,
    `{ threats(first: ${fill('1', 64_000)}) { totalCount } }`,
    ...[`"${fill('a', 64_000)}"`, `"${fill('\\u0041', 64_000)}"`, `"""${fill('\n', 64_000)}"""`, `"""${fill(' a\n', 64_000)}"""`, `"""${fill('\\"""', 64_000)}"""`].map(search),
    `{ health { ${Array.from({ length: 900 }, (_, i) => `statu${fill('s', 40)}${i}`).join(' ')} } }`,
    `{ health(${Array.from({ length: 300 }, (_, i) => `a${fill('b', 150)}${i}: 1`).join(' ')}) { status } }`,
    ...[fill('#\n', 64_000), fill(',', 64_000), fill('\ufeff', 20_000), fill('\r\n', 64_000)].flatMap((blank) => [`${blank}{ health { status } }`, `${blank}{`])
  ]
  const decoys = documents.map((source) => `${source} # adminUsers`)
  t.same(slowOf([...documents, ...decoys], readDocument), [])
})

t.test('documents put together at random', async (t) => {
  const piece = fc.constantFrom('{', '}', '(', ')', '...', ' on Query ', ' on Assessment ', 'fragment f ', 'fragment g ', '...f ', '...g ', 'threats ', 'nodes ', 'health ', 'status ', 'id ', 'decision ', 'a:', '$v ', 'query ', '"', '"""', '\\"', '@skip(if: true) ', '[', ']', '1', '\n', '#', ',')
  const source = fc.array(piece, { maxLength: 6, minLength: 1 }).map((pieces) => `{ threats { nodes { ${fill(pieces.join(''), 6_000)}`)
  t.same(slowOf(fc.sample(source, { numRuns: 200, seed: 11 }), readDocument), [])
})

t.test('targets of any form', async (t) => {
  const units = ['&', 'a&', 'a=1&', '%41', '%', '=', '[', 'a[b]&', '+', 'a=%F0%9F&', '/', '../', ':', '@', 'query={adminUsers}&', '\\', 'é']
  const targets = units.map((unit) => `/graphql?query=adminUsers&${fill(unit, TARGET_BYTES)}`)
  t.same(slowOf(targets, (target) => { asksDecoys(target, null); asksDecoysOnly(target, null); isForbiddenParameter(target.slice(26)) }), [])
})
