import { test } from 'tap'
import { inspectPayload } from '../../src/detect/factors/payload.ts'
import { inspectReading } from '../../src/detect/payload/inspect-reading.ts'
import { CODE_RULES } from '../../src/detect/raw-scan/rules-code.ts'
import { DATABASE_RULES } from '../../src/detect/raw-scan/rules-database.ts'
import { SCRIPT_RULES } from '../../src/detect/raw-scan/rules-script.ts'
import { SYSTEM_RULES } from '../../src/detect/raw-scan/rules-system.ts'
import { scaled } from '../scale.ts'
import { COARSE_SCREEN, FINE_SCREEN, SIZE, SLOWNESS, growthOver, leastMs, shown } from './linear-growth.ts'
import type { Bounds, Run } from './linear-growth.ts'
import { discoverPatterns, patternsOf } from './linear-patterns.ts'
import type { Pattern } from './linear-patterns.ts'
import { CLASSIC_PUMPS, CLASSIC_UNITS, piecesOf, pumpsOf, randomPumps, spread, textOf } from './linear-pumps.ts'
import type { Pump } from './linear-pumps.ts'
import { FACTORS, PLACES, READERS, SIGNS, VIEWS, exportedFunctions, subjectOf } from './linear-subjects.ts'
import { observation } from './observations.ts'

/**
 * Time is linear in the text, by construction: no text of a client, however it is made, costs more than its length. Each
 * expression, each detector, each factor and sign is given what makes careless ones slow, out of its own parts and of
 * the pieces that attacks on expressions are made of, and the processor time at 64 KiB is held against that at 16 KiB.
 */
const PATTERN_MS_MAX = 10 * SLOWNESS
const DETECTOR_MS_MAX = 10 * SLOWNESS
/** All detectors, in every reading; and a whole request in all its places. */
const READING_MS_MAX = 30 * SLOWNESS
const REQUEST_MS_MAX = 50 * SLOWNESS
const ONE_PLACE_MS_MAX = 0.05 * SLOWNESS
const RANDOM_PER_PATTERN = scaled(8, 24)
/** Pumps out of the expressions of one file for what is in it, and of all files for whole requests. */
const PUMPS_OF_FILE = scaled(40, 120)
const PUMPS_OF_ALL = scaled(60, 200)
const SEED = 20_261_121
const CLASSIC_ALONE: readonly Pump[] = CLASSIC_UNITS.map((unit) => ({ lead: '', unit, tail: '' }))

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
    // Each takes seconds at the full length.
    t.not(worstOf({ at: '', file: '', pattern: slow, scan: 'once', charactersMax: SIZE / 8 }), null, String(slow))
    t.equal(worstOf({ at: '', file: '', pattern: linear, scan: 'once', charactersMax: Infinity }), null, String(linear))
  }
  t.end()
})

test('every expression is linear in the text', (t) => {
  t.same(patterns.map(worstOf).filter((one) => one !== null), [])
  t.end()
})

test('a pattern of the raw scan, tried at one place, looks no further than some hundred characters', (t) => {
  const rules = [...CODE_RULES, ...DATABASE_RULES, ...SCRIPT_RULES, ...SYSTEM_RULES]
  const tried = rules.flatMap(({ pattern, before }) => [pattern, before]).filter((one) => one !== undefined)
  const found: string[] = []
  for (const pattern of tried) {
    const sticky = new RegExp(pattern.source, 'y')
    const run: Run = (text) => {
      sticky.lastIndex = text.length >> 1
      return sticky.exec(text)
    }
    for (const pump of [...pumpsOf(pattern), ...CLASSIC_ALONE]) {
      const text = textOf(pump, SIZE)
      if (leastMs(text, run, 1) <= ONE_PLACE_MS_MAX) continue
      const ms = leastMs(text, run, 9)
      if (ms > ONE_PLACE_MS_MAX) found.push(`${String(pattern).slice(0, 80)}: ${shown(pump, { ms, quarterMs: NaN })}`)
    }
  }
  t.same(found, [])
  t.ok(tried.length > 60, `${tried.length} patterns`)
  t.end()
})

test('every detector is linear in the text, with every gate open', async (t) => {
  const found: Array<string | null> = []
  const bounds = { msMax: DETECTOR_MS_MAX, sizeMax: SIZE, screen: COARSE_SCREEN }
  for (const [name, { file, run }] of await exportedFunctions('payload/detectors')) {
    const pumps = pumpsFor(file)
    if (name in READERS) found.push(firstOver(pumps, READERS[name]!(run), bounds, name))
    else if (!name.startsWith('detect')) found.push(`${name} is not known to linear-subjects.ts`)
    else {
      for (const [at, [kind, field, document]] of VIEWS.entries()) {
        const some = at === 0 ? pumps : pumps.filter((_, place) => place % VIEWS.length === at)
        const detect: Run = (text) => run(subjectOf(text, kind, field, document) as never)
        found.push(firstOver(some, detect, bounds, `${name} of ${kind}`))
      }
    }
  }
  t.same(found.filter((one) => one !== null), [])
  t.ok(found.length > 40)
  t.end()
})

test('every sign and every factor is linear in the text', async (t) => {
  for (const [folder, drivers] of [['signs', SIGNS], ['factors', FACTORS]] as const) {
    t.same(Object.keys(drivers).sort(), [...(await exportedFunctions(folder)).keys()].sort(), `all of ${folder}`)
    const pumps = pumpsFor(folder)
    const found = Object.entries(drivers).map(([name, run]) => {
      const sizeMax = folder === 'factors' ? SIZE / 4 : SIZE
      return firstOver(pumps, run, { msMax: DETECTOR_MS_MAX, sizeMax, screen: COARSE_SCREEN }, name)
    })
    t.same(found.filter((one) => one !== null), [])
  }
  t.end()
})

test('a reading of one value is linear in the text, in every kind of place', (t) => {
  const pumps = pumpsOfAll()
  const kinds = ['form', 'path', 'json', 'header', 'agent', 'cookie', 'text', 'name', 'filename', 'query'] as const
  const found = kinds.map((kind, at) => firstOver(
    pumps.filter((_, place) => kind === 'form' || place % kinds.length === at),
    (text) => inspectReading([], kind, 'p', text, 'q'),
    { msMax: READING_MS_MAX, sizeMax: SIZE, screen: COARSE_SCREEN },
    kind
  ))
  t.same(found.filter((one) => one !== null), [])
  t.end()
})

test('a whole request is judged in linear time, whatever stands in whichever place', (t) => {
  const pumps = pumpsOfAll()
  const places = Object.entries(PLACES)
  const found = places.map(([name, { charactersMax, put }], at) => firstOver(
    pumps.filter((_, place) => place % 7 === at % 7),
    (text) => inspectPayload(observation(put(text)), { sensitivity: 2 }),
    { msMax: REQUEST_MS_MAX, sizeMax: charactersMax, screen: COARSE_SCREEN },
    name
  ))
  t.same(found.filter((one) => one !== null), [])
  t.end()
})

/** The classic pumps, some of the expressions of a file or a folder, and random ones out of their pieces. */
function pumpsFor (place: string): Pump[] {
  const own = spread(patterns.filter(({ at }) => at.includes(place)).flatMap(({ pattern }) => pumpsOf(pattern)), PUMPS_OF_FILE)
  return [...CLASSIC_ALONE, ...own, ...randomPumps([...piecesOf(own), ...CLASSIC_UNITS], RANDOM_PER_PATTERN, SEED)]
}

/** The classic pumps, also behind what leads a detector on, and some of all expressions. */
function pumpsOfAll (): Pump[] {
  return [...CLASSIC_PUMPS, ...spread(patterns.flatMap(({ pattern }) => pumpsOf(pattern)), PUMPS_OF_ALL)]
}

/** The first pump that costs an expression more than its bounds, as a line of a report; null where there is none. */
function worstOf (found: Pattern): string | null {
  const own = pumpsOf(found.pattern)
  const random = randomPumps([...piecesOf(own), ...CLASSIC_UNITS], RANDOM_PER_PATTERN, SEED)
  const bounds = { msMax: PATTERN_MS_MAX, sizeMax: Math.min(SIZE, found.charactersMax), screen: FINE_SCREEN }
  return firstOver([...own, ...CLASSIC_ALONE, ...random], runOf(found), bounds, `${found.at} ${String(found.pattern).slice(0, 80)}`)
}

function runOf ({ pattern, scan }: Pattern): Run {
  if (scan === 'split') return (text) => text.split(pattern)
  if (scan === 'all') return (text) => text.replace(pattern, '')
  return (text) => {
    pattern.lastIndex = 0
    return pattern.exec(text)
  }
}

function firstOver (pumps: readonly Pump[], run: Run, bounds: Bounds, what: string): string | null {
  for (const pump of pumps) {
    const growth = growthOver(pump, run, bounds)
    if (growth !== null) return `${what}: ${shown(pump, growth)}`
  }
  return null
}
