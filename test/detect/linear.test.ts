import { test } from 'tap'
import { SIZE, growthOver, shown } from './linear-growth.ts'
import type { Run } from './linear-growth.ts'
import { discoverPatterns, patternsOf } from './linear-patterns.ts'
import type { Pattern } from './linear-patterns.ts'
import { CLASSIC_UNITS, piecesOf, pumpsOf, randomPumps } from './linear-pumps.ts'
import type { Pump } from './linear-pumps.ts'

/**
 * Time is linear in the text, by construction: no text of a client, however it is made, costs more than its length. Each
 * expression, each detector, each factor and sign is given what makes careless ones slow, out of its own parts and of
 * the pieces that attacks on expressions are made of, and the processor time at 64 KiB is held against that at 16 KiB.
 */
const PATTERN_MS_MAX = 10
const RANDOM_PER_PATTERN = 40
const SEED = 20_261_121

const { patterns, faults } = discoverPatterns()

test('every expression that a text can meet is found in the source, and none is made where it cannot be judged', (t) => {
  t.same(faults, [])
  t.ok(patterns.length > 600, `${patterns.length} expressions`)
  const example = patternsOf(`
    import { anyOf } from '../std/regex.ts'
    const PIECE = '[a-z]'
    const WHOLE = new RegExp(\`\${PIECE}+;\`, 'g')
    const f = (text: string) => text.split(/;+/).some((one) => anyOf([/a/, /b+c/]).test(one.slice(0, 80)) || one.search('x.y') > 0)
  `)
  t.same(example.faults, [])
  t.same(example.patterns.map(({ pattern, scan, charactersMax }) => [String(pattern), scan, charactersMax]), [
    ['/[a-z]+;/g', 'all', Infinity],
    ['/;+/', 'split', Infinity],
    ['/a|b+c/', 'once', 80],
    ['/x.y/', 'once', Infinity]
  ])
  for (const hidden of ['f(new RegExp(given))', 'const Other = RegExp', "import { anyOf as some } from '../std/regex.ts'", '[[/a/]].map(anyOf)']) {
    t.ok(patternsOf(hidden).faults.length > 0, hidden)
  }
  t.end()
})

test('an expression that is not linear is told from its linear twin', (t) => {
  const pairs: Array<[slow: RegExp, linear: RegExp]> = [
    [/;[\s();]*(?:drop|alter) /, /(?<!;[\s()]*);[\s();]*(?:drop|alter) /],
    [/^(?:\s|,|\ufeff)*\{/, /^[\s,]*\{/],
    [/<[^>]{0,4096}x/, /<[^<>]{0,4096}x/],
    [/\d+$/, /(?<!\d)\d+$/],
    [/^\w*-?\w*$/, /^\w*(?:-\w*)?$/],
    [/(?:a+b?)+c/, /(?:a|ab)c/]
  ]
  for (const [slow, linear] of pairs) {
    t.not(worstOf({ at: '', file: '', pattern: slow, scan: 'once', charactersMax: Infinity }), null, String(slow))
    t.equal(worstOf({ at: '', file: '', pattern: linear, scan: 'once', charactersMax: Infinity }), null, String(linear))
  }
  t.end()
})

test('every expression is linear in the text', (t) => {
  t.same(patterns.map(worstOf).filter((one) => one !== null), [])
  t.end()
})

/** The first pump that costs an expression more than its bounds, as a line of a report; null where there is none. */
function worstOf (found: Pattern): string | null {
  const own = pumpsOf(found.pattern)
  const classic = CLASSIC_UNITS.map((unit) => ({ lead: '', unit, tail: '' }))
  const random = randomPumps([...piecesOf(own), ...CLASSIC_UNITS], RANDOM_PER_PATTERN, SEED)
  const bounds = { msMax: PATTERN_MS_MAX, sizeMax: Math.min(SIZE, found.charactersMax) }
  return firstOver([...own, ...classic, ...random], runOf(found), bounds, `${found.at} ${String(found.pattern).slice(0, 80)}`)
}

function runOf ({ pattern, scan }: Pattern): Run {
  if (scan === 'split') return (text) => text.split(pattern)
  if (scan === 'all') return (text) => text.replace(pattern, '')
  return (text) => {
    pattern.lastIndex = 0
    return pattern.exec(text)
  }
}

function firstOver (pumps: readonly Pump[], run: Run, bounds: { msMax: number, sizeMax: number }, what: string): string | null {
  for (const pump of pumps) {
    const growth = growthOver(pump, run, bounds)
    if (growth !== null) return `${what}: ${shown(pump, growth)}`
  }
  return null
}
