import fc from 'fast-check'
import { test } from 'tap'
import { readEncoded } from '../../src/detect/payload/base64.ts'
import { decodeBytes, decodeEntities, decodeEscapes, decodePercent, decodeUtf7, decodeUtf7Text, foldWidth } from '../../src/detect/payload/decode.ts'
import { tokenizeHtml } from '../../src/detect/payload/detectors/html-tokens.ts'
import { tokenizeSql } from '../../src/detect/payload/detectors/sql-tokens.ts'
import { resolveLookups } from '../../src/detect/payload/detectors/template.ts'
import type { Finding } from '../../src/detect/payload/findings.ts'
import { readGraphql } from '../../src/detect/payload/graphql-document.ts'
import { decodeOnce } from '../../src/detect/payload/inspection.ts'
import { inspectReading } from '../../src/detect/payload/inspect-reading.ts'
import { inspect } from './payload-observation.ts'
import { threadMs } from '../bar.ts'
import { scaled } from '../scale.ts'

const RUNS = scaled(2_000, 10_000)
const CASE_MS_MAX = 50

/** Pieces that detectors care about, so that random text reaches deep into them. */
const PIECES = ["'", '"', '`', '<', '>', '<!--', '-->', '/*', '*/', '--', '#', ';', '|', '&', '&&', '$(', '${', '{{', '}}', '{%', '<%', '(', ')', '[', ']', '../', '..\\', '%', '%25', '%27', '%u0027', '&lt;', '&#x3c;', '\\u003c', '\\x3c', '=', ' or ', ' union select ', 'select', ' from ', 'sleep(', 'script', 'onload=', 'javascript:', 'cat ', '/etc/passwd', 'http://', 'file://', '169.254.169.254', '\r\n', '\0', 'Set-Cookie:', '$ne', '__proto__', 'jndi:', '<?php', 'eval(', 'java.lang.Runtime', 'rO0AB', 'O:8:"a":', ')(|(', 'count(/', '+ADw-', '\uff1c', 'query ', '{', '}', ':', ',', '...', '@a', '"""', ' ', 'a', '1', '0x41', 'é', '漢', '\ud800']
const text = fc.oneof(fc.string({ maxLength: 200, unit: 'binary' }), fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((pieces) => pieces.join('')))

/** Runs a function over random text: it throws nothing and no case is slow. */
function holds (run: (value: string) => void, runs = RUNS): number {
  let slowest = 0
  fc.assert(fc.property(text, (value) => {
    const started = threadMs()
    run(value)
    const took = threadMs() - started
    if (took > CASE_MS_MAX) {
      // A pause of the machine is no fault of the parser: what is slow is slow again.
      const again = threadMs()
      run(value)
      slowest = Math.max(slowest, threadMs() - again)
    }
  }), { numRuns: runs })
  return slowest
}

const PARSERS: Record<string, (value: string) => unknown> = {
  decodePercent: (value) => decodePercent(value, true),
  decodeBytes,
  decodeEntities,
  decodeEscapes,
  decodeUtf7,
  decodeUtf7Text,
  foldWidth,
  readEncoded,
  decodeOnce,
  tokenizeHtml,
  tokenizeSql: (value) => [tokenizeSql(value, ''), tokenizeSql(value, "'"), tokenizeSql(value, '"')],
  readGraphql,
  resolveLookups
}

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name} is total and quick over random text`, (t) => {
    t.ok(holds(parse) <= CASE_MS_MAX)
    t.end()
  })
}

test('every detector is total and quick over random text in every kind of place', (t) => {
  const kinds = ['path', 'query', 'form', 'json', 'graphql', 'header', 'agent', 'referer', 'cookie', 'filename', 'xml', 'text'] as const
  let turn = 0
  t.ok(holds((value) => {
    const findings: Finding[] = []
    inspectReading(findings, kinds[turn++ % kinds.length] as 'query', 'p', value, turn % 5 === 0 ? 'name' : 'q')
    for (const finding of findings) if (!(finding.value > 0 && finding.value <= 1)) throw new Error(`${finding.rule} has ${finding.value}`)
  }) <= CASE_MS_MAX)
  t.end()
})

test('the factor is total over random requests and bodies of every content type', (t) => {
  const types = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=a', 'application/xml', 'text/plain', 'application/graphql', '', 'image/png']
  let turn = 0
  t.ok(holds((value) => {
    const type = types[turn++ % types.length] as string
    const body = type.includes('json') && turn % 2 === 0 ? JSON.stringify({ query: value, variables: { [value.slice(0, 20)]: value } }) : value
    const finding = inspect({ url: '/' + value.slice(0, 30) + '?a=' + value, headers: ['content-type', type, 'cookie', value, 'referer', value, 'x-a', value], body })
    if (!(finding.value >= 0 && finding.value <= 1)) throw new Error('out of range')
    if (finding.evidence.length > 8 || finding.evidence.some((one) => one.text.length > 160)) throw new Error('unbounded evidence')
  }) <= CASE_MS_MAX)
  t.end()
})

/** 64 KiB of what makes naive patterns slow: repeats of every piece, alone and in pairs with a blank. */
test('64 KiB of any repeated piece is judged in linear time', (t) => {
  const slow: string[] = []
  // Where a machine is too slow for the milliseconds, the growth decides: four times the text, at most eight times the work.
  const budgetMs = 25
  const growthMax = 8
  const best = (value: string, enoughMs: number): number => {
    let ms = Infinity
    for (let round = 0; round < 3 && ms > enoughMs; round++) {
      const started = threadMs()
      inspectReading([], 'form', 'p', value, 'q')
      ms = Math.min(ms, threadMs() - started)
    }
    return ms
  }
  for (const piece of [...PIECES, 'a ', "a' ", '( ', '<a ', '<a b=', "' or ", 'a=b&', '${${', '{{{{', ';;a', '/a/', '../a/', '/*a', '*/ /*', 'x\n', '"a" + ', '0x', '1,', 'on', ' on', 'data:', 'a:b', "['a']", '$a->', 'a.b.', '@{[', '\\', '\\\\', '<![CDATA[', '&#', '%%', '(((', '"\'`', 'char(1)||', 'select a from ', 'and 1=1 ', 'this.a ', '[a-z]', '?a=http://', '!a', 'for %a in ', 'if a==', 'cd /;', '\ta']) {
    const value = piece.repeat(Math.ceil(65_536 / piece.length)).slice(0, 65_536)
    const ms = best(value, budgetMs)
    if (ms > budgetMs && ms > growthMax * best(value.slice(0, 16_384), 0)) slow.push(`${JSON.stringify(piece)} ${ms.toFixed(0)} ms`)
  }
  t.same(slow, [])
  t.end()
})
