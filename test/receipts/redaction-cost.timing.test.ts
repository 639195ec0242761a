import fc from 'fast-check'
import t from 'tap'
import { maskJson } from '../../src/receipts/mask-json.ts'
import { maskShape } from '../../src/receipts/mask-shape.ts'
import { graphqlOf } from '../../src/receipts/graphql-request.ts'
import { maskCalls } from '../../src/receipts/graphql-secrets.ts'
import { maskTokens } from '../../src/receipts/mask-forms.ts'
import { maskPairs } from '../../src/receipts/mask-pairs.ts'
import { maskCookies, maskMultipart, maskText } from '../../src/receipts/mask.ts'
import { redactFactors } from '../../src/receipts/redact-evidence.ts'
import { BODY_KEPT_MAX, redactTarget } from '../../src/receipts/redact-parts.ts'
import { redactObservation, redactPath } from '../../src/receipts/redact.ts'
import { isSecretName } from '../../src/receipts/secret-names.ts'
import { observation } from '../detect/observations.ts'
import { scaled } from '../scale.ts'

/**
 * Whoever sends a request writes the text that redaction reads on the main thread: its cost must grow with the length of
 * the text and no faster, whatever the text is made of. Every function of redaction is in this list.
 */
const KIB = 1024
const GROWTH_MAX = 6
const NOTABLE_MS = 1
/** Of 64 KiB, four times what a receipt keeps. */
const COST_MS_MAX = 40
const RECEIPT_MS_MAX = 20

/** The clock of a thread's CPU time ticks every 4 ms on some machines. */
const TRY_MS = 40
const TRIES = 4
const QUICKEST_OF = 20

const THIRDS = scaled(3, 1)

const ignored = (): void => {}
const FUNCTIONS: Record<string, (text: string) => unknown> = {
  maskJson: (text) => maskJson(text, 'body', ignored),
  maskText: (text) => maskText(text, 'body', ignored),
  maskMultipart: (text) => maskMultipart(text, 'body', ignored),
  maskPairs: (text) => maskPairs(text, 'query', ignored),
  maskTokens: (text) => maskTokens(text, 'path', ignored),
  maskCalls: (text) => maskCalls(text, ignored),
  graphqlOf: (text) => graphqlOf(observation({ route: '/graphql', url: `/graphql?query=${text}`, body: new TextEncoder().encode(text.slice(0, BODY_KEPT_MAX)) })),
  maskCookies: (text) => maskCookies(text, ignored),
  maskShape,
  isSecretName,
  redactPath,
  redactTarget: (text) => redactTarget(text),
  redactFactors: (text) => redactFactors([{ name: 'payload', contribution: 1, evidence: [{ rule: 'r', place: text, text, grade: 'likely', technique: null }] }], null)
}

/** What each pattern and scanner of redaction looks for, whole and in pieces. */
const PIECES = [
  'a_pw=', '--password ', '--password "', '-u a:', "['password','", '("password", "', 'login(', '{login(', '{ login(a: "', '"""login(', '($p: String = "', 'password:[$p', '"query":"{login(a:', '"variables":{"a":"', 'query={login(', '//a:b@', '//a@', '//', 'nekr_aaaaaaaa', 'neko%5F', 'bearer.', '<name>password</name>', '<value>x</value><name>', '<param name="password">', '/token/a1', '["password",',
  '"', "'", '\\', '\\"', '\\\\\\"', '"""', '\\"\\"\\"', '\\"""', '\\\n', '"\\\n', "'\\\n", '"a":"', '"a":', '"a": ', '"password":', '"password":"', '"password":{', '"password":"\\', 'a:', 'a=', 'a: ', 'a :', "a:'", 'a:"', 'a:\\"', "a\\'", 'password=', 'password:"', 'password=\\"', 'x-', 'name=', 'name="', 'name="x"', 'name="pwd"\r\n', 'name="pwd"\r\n\r\n', 'filename="', '\r\n--', '--', '\r\n', '\r\n\r\n', '\n', '\n\n', '<', '<a', '<a ', '<a>', '<a b="', '<token>', '<token ', '</a>', '>', '://', '://a', '@', 'eyJ', 'eyJaaaaaaaa', 'eyJaaaaaaaa.', '%41eyJaaaaaaaa', 'sk-', 'sk-aaaaaaaaaaaa', 'github_pat_', 'AKIA', 'AKIAAAAAAAAAAAAAAAAA', 'AIza', 'Bearer ', 'bearer+', 'Basic%20', 'Token aaaaaa', '-----BEGIN ', '-----BEGIN PRIVATE KEY-----', 'PRIVATE KEY', '-----END', 'a', 'A', '0', '-', '_', '$', '.', ' ', '\t', '\u00a0', '%', '%4', '%41', '%25', '%2522', '+', '/', '?', '#', ',', ';', '&', '=', ':', '{', '}', '[', ']', '[]', '(', ')', 'é', '\u00ff', '\ud800', '\0', '1.', '-1', 'tru', '*', '$v', 'String!', 'a.b', 'a[b]', 'pass\\u0077ord',
  '<![CDATA[', ']]>', '<!--', '-->', '<token><![CDATA[', '<token><!--', '</token>', '<token></token>', '<token><pin></token>', 'password:{', 'password:[{"', 'password:#', 'password:#\n', 'password:/*', '*/:', '/*', 'password:,', 'password=>', 'password: Bearer ', 'password%3D', 'password%253D', '%3D', '%26', 'password%3D%20', "password='", "password=\\'", 'pin=\\"', 'pin=\\\\\\"pin=\\"', '"password"/*,*/:', 'name:"password",value:"', 'value:"x",', 'name=password&value=', 'password=;', '\\u0022', '\\\\u005c', '\\n', 'password:\\n', 'password]=', 'content-a\r\n\r\n', '--x\r\ncontent-a: b; name="pwd"\r\n\r\n', 'name*0="', '?a=', '?a=%253F', '%2525'
]
const HEADS = ['', '"', '{"a":"', '{"password":"', 'a=', '<a', '--x\r\n']

t.test('the cost of every function of redaction grows with its text and no faster', async (t) => {
  const pumps = fc.tuple(fc.constantFrom(...HEADS), fc.array(fc.constantFrom(...PIECES), { minLength: 2, maxLength: 4 }))
  const drawn = fc.sample(pumps, { numRuns: scaled(20, 60), seed: 10 }).map(([head, pieces]) => ({ head, unit: pieces.join('') }))
  for (const [index, [name, run]] of Object.entries(FUNCTIONS).entries()) {
    // A third of them for each function, and another third for the next one; nightly all.
    const pieces = PIECES.filter((_unit, at) => at % THIRDS === index % THIRDS)
    const listed = pieces.map((unit) => ({ head: name === 'maskJson' ? '{"a":"' : '', unit }))
    const slow = [...listed, ...drawn].flatMap((pump) => faultOf(run, pump))
    t.same(slow, [], name)
  }
})

t.test('a receipt of any 16 KiB is described within a part of a turn', async (t) => {
  for (const type of ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/xml', '']) {
    const slow = PIECES.flatMap((unit) => {
      const given = observation({
        url: `/graphql?a=${fill('', unit, 8 * KIB)}`,
        headers: ['content-type', type, 'x', fill('', unit, 8 * KIB), 'cookie', fill('', unit, 8 * KIB)],
        body: new TextEncoder().encode(fill('', unit, BODY_KEPT_MAX / 2))
      })
      const describe = (): unknown => redactObservation(given, { factors: [] })
      if (leastWallMs(describe, 1) <= RECEIPT_MS_MAX) return []
      const ms = Math.min(...Array.from({ length: TRIES }, () => cpuMs(describe)))
      return ms > RECEIPT_MS_MAX ? [`${JSON.stringify(unit)}: ${ms.toFixed(1)} ms`] : []
    })
    t.same(slow, [], type)
  }
})

interface Pump { head: string, unit: string }

function fill (head: string, unit: string, length: number): string {
  return (head + unit.repeat(Math.ceil(length / unit.length))).slice(0, length)
}

/** The quickest of a few runs tells what may be slow, the quickest of many judges it. */
function faultOf (run: (text: string) => unknown, { head, unit }: Pump): string[] {
  const small = fill(head, unit, 16 * KIB)
  const large = fill(head, unit, 64 * KIB)
  const largeMs = leastWallMs(() => run(large), 2)
  if (largeMs <= NOTABLE_MS || (largeMs <= COST_MS_MAX && largeMs <= GROWTH_MAX * leastWallMs(() => run(small)))) return []
  // One after the other each time: a machine that others use is slow for both. The quickest of many runs has neither
  // their time nor a collection of garbage in it.
  const tries = Array.from({ length: TRIES }, () => ({
    smallMs: leastWallMs(() => run(small), QUICKEST_OF),
    largeMs: leastWallMs(() => run(large), QUICKEST_OF)
  }))
  if (tries.some(({ smallMs, largeMs }) => largeMs <= NOTABLE_MS || (largeMs <= COST_MS_MAX && largeMs <= GROWTH_MAX * smallMs))) return []
  // Memory has steps at such lengths: what is not linear grows as much from here to four times as long.
  const longer = fill(head, unit, 256 * KIB)
  const largestMs = leastWallMs(() => run(longer))
  if (largestMs <= GROWTH_MAX * leastWallMs(() => run(large)) && largeMs <= COST_MS_MAX) return []
  return [`${JSON.stringify(head)} + ${JSON.stringify(unit)}...: ${tries.map(({ smallMs, largeMs }) => `${smallMs.toFixed(2)} ms, then ${largeMs.toFixed(2)} ms`).join('; ')}`]
}

function leastWallMs (run: () => unknown, runs = 3): number {
  let least = Infinity
  for (let i = 0; i < runs; i++) {
    const before = performance.now()
    run()
    least = Math.min(least, performance.now() - before)
  }
  return least
}

/** Of one call, out of as many as take many ticks. */
function cpuMs (run: () => unknown): number {
  const calls = Math.max(1, Math.ceil(TRY_MS / Math.max(0.01, leastWallMs(run))))
  const before = process.threadCpuUsage()
  for (let call = 0; call < calls; call++) run()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000 / calls
}
