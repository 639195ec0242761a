import fc from 'fast-check'
import { test } from 'tap'
import type { Test } from 'tap'
import { CODE_RULES } from '../../src/detect/raw-scan/rules-code.ts'
import { DATABASE_RULES } from '../../src/detect/raw-scan/rules-database.ts'
import { SCRIPT_RULES } from '../../src/detect/raw-scan/rules-script.ts'
import { SYSTEM_RULES } from '../../src/detect/raw-scan/rules-system.ts'
import { scanRaw } from '../../src/detect/raw-scan/raw-scan.ts'
import { threadMs, withinBar } from '../bar.ts'

const KIB = 1_024
/** Growth of a linear scan from 16 to 64 KiB is 4; more than this is none. */
const GROWTH_MAX = 6
/** CPU of one scan of the worst text, and of a text that is all a body may be: what 2 cores that others share take. */
const [BAR_64_KIB_MS, BAR_1_MIB_MS] = [6, 60]
/** What a processor's clock is read over, since it ticks in 4 to 10 milliseconds. */
const MEASURED_MS = 30
const ROUNDS = 3
const LOOKED_AT_AGAIN = 100
const WORST_KEPT = 8

const ANCHORS = [...new Set([...DATABASE_RULES, ...SCRIPT_RULES, ...CODE_RULES, ...SYSTEM_RULES].flatMap(({ anchors }) => anchors))]
/** What brings an anchor's pattern further: what it may stand behind, and what may follow. */
const BEFORE = ['', "'", '1 ', ';', '="', ' ']
const AFTER = ['', '(', ' select ', "'"]
const PUMPS = [
  ...ANCHORS.flatMap((anchor) => [...BEFORE.map((before) => before + anchor), ...AFTER.map((after) => anchor + after)]),
  '%25', '%', '%u', '%u0025', '%2525252525', '&', '&lt;', '&lt', '&#', '&#x', '&abcdefg', '\\', '\\\\', '\\u', '\\u0027', '\\u{', '\\x', '\0', "\0'", '+', ' ', '/*', '/*a', '/*!', '/*!50000', '*/', '/**/',
  '<', '<a ', '<!', '{{', '${', '{%', '../', '....//', '..\\', 'A', 'AbCd', 'YWJj\n', 'rO0AB', 'lorem ipsum dolor sit amet ', 'a b c d e f ', '`', '($', ')(', '\ufeff', '\uff07', '’', '((((', "'))))", '"a":1,', '&a=1', 'select a from b ', '${a:b:c:', "' or 1=", '" on', ' on', ' onload=', ' onload="aaaaaaaaaaaaaaaaaaaaaaaaaaa', 'class["'
]

const filled = (pump: string, bytes: number): Buffer => {
  const unit = Buffer.from(pump)
  return Buffer.alloc(bytes, unit)
}
const scan = (body: Buffer, contentType: string): void => { scanRaw({ url: '/', headers: ['content-type', contentType], body }) }
const TYPES = ['text/plain', 'application/x-www-form-urlencoded']

/** Thread CPU of one scan of each body, over as many as the clock needs, in rounds that take turns. */
function cpuMs (bodies: readonly Buffer[], contentType: string): number[] {
  const taken = bodies.map(() => ({ ms: 0, scans: 0 }))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, body] of bodies.entries()) {
      const started = threadMs()
      do {
        scan(body, contentType)
        taken[index]!.scans++
      } while (threadMs() - started < MEASURED_MS)
      taken[index]!.ms += threadMs() - started
    }
  }
  return taken.map(({ ms, scans }) => ms / scans)
}

/**
 * A look at all of them by the wall clock, and a longer one at those that it ranks highest; the highest of these are
 * measured by the processor's.
 */
function slowest (pumps: readonly string[]): Array<{ pump: string, contentType: string }> {
  const ranked = (some: Array<{ pump: string, contentType: string }>, rounds: number): typeof some => some
    .map((one) => ({ ...one, ms: leastMs(filled(one.pump, 16 * KIB), one.contentType, rounds) }))
    .sort((a, b) => b.ms - a.ms)
  const all = TYPES.flatMap((contentType) => pumps.map((pump) => ({ pump, contentType })))
  return ranked(ranked(all, 1).slice(0, LOOKED_AT_AGAIN), 3).slice(0, WORST_KEPT)
}

function leastMs (body: Buffer, contentType: string, rounds: number): number {
  let ms = Infinity
  for (let round = 0; round < rounds; round++) {
    const started = performance.now()
    scan(body, contentType)
    ms = Math.min(ms, performance.now() - started)
  }
  return ms
}

function holds (t: Test, worst: ReturnType<typeof slowest>): void {
  for (const { pump, contentType } of worst) {
    const [small, large] = cpuMs([filled(pump, 16 * KIB), filled(pump, 64 * KIB)], contentType) as [number, number]
    withinBar(t, `64 KiB of ${JSON.stringify(pump)}`, large, BAR_64_KIB_MS)
    t.ok(large / small <= GROWTH_MAX, `64 KiB of ${JSON.stringify(pump)} cost ${(large / small).toFixed(1)} times 16 KiB`)
  }
}

const worstPumps = slowest(PUMPS)

test('no anchor and no escape, repeated, costs more than a line', (t) => {
  holds(t, worstPumps)
  t.end()
})

test('no mixture of them does', (t) => {
  const mixtures = fc.sample(fc.array(fc.constantFrom(...PUMPS), { minLength: 2, maxLength: 5 }).map((parts) => parts.join('')), { numRuns: 600, seed: 7 })
  holds(t, slowest(mixtures))
  t.end()
})

test('a body of 1 MiB is read within its bar', (t) => {
  for (const { pump, contentType } of worstPumps.slice(0, 2)) {
    withinBar(t, `1 MiB of ${JSON.stringify(pump)}`, cpuMs([filled(pump, KIB * KIB)], contentType)[0]!, BAR_1_MIB_MS)
  }
  t.end()
})
