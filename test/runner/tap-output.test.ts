import t from 'tap'
import { readTap, type Tally } from './tap-output.ts'

/** What tap prints, and what gets between it: whatever is not the whole output of a file that ran is told. */
const tap = (...lines: string[]): Tally => readTap(['TAP version 14', ...lines].join('\n'))

t.test('tests of the outermost level are counted, with their figures', async (t) => {
  const tally = tap('# Subtest: a', '    ok 1 - x', '    # in time: 3 ms, bar 10 ms', '    1..1', 'ok 1 - a # time=3ms', '', 'ok 2 - b', '1..2')
  t.match(tally, { passed: 2, failed: 0, skipped: [], failures: [], figures: ['in time: 3 ms, bar 10 ms'], problem: null })
})

t.test('a failure is shown with its whole diagnostics, whatever stands in them', async (t) => {
  const diagnostics = ['      ---', '      diff: |', '        +one', '', '        # two', '        ok 7 - three', '      ...']
  const tally = tap('# Subtest: a', '    not ok 1 - x', ...diagnostics, '    # a comment', '    1..1', 'not ok 1 - a', '1..1')
  t.match(tally, { passed: 0, failed: 1, problem: null })
  t.same(tally.failures, ['    not ok 1 - x', ...diagnostics, 'not ok 1 - a'])
})

t.test('what is left out is not passed, be it the whole test, a part of it, or something still to do', async (t) => {
  const whole = ['ok 1 - a # SKIP no openssl', '1..1']
  const part = ['# Subtest: a', '    ok 1 - b # skip no mount', '    1..1', 'ok 1 - a # time=3ms', '1..1']
  const said = ['# Subtest: a', '    # # SKIP no Go', '    1..0', 'ok 1 - a # time=3ms', '1..1']
  const todo = ['not ok 1 - a # TODO later', '1..1']
  for (const lines of [whole, part, said, todo]) {
    const { passed, failed, skipped, failures, problem } = tap(...lines)
    t.match([passed, failed, skipped.length, failures.length, problem], [0, 0, 1, 0, null], lines.join('\n'))
  }
  t.match(tap(...part).skipped, ['a # time=3ms # skip no mount'])
  t.match(tap(...part, 'ok 2 - whole', '1..2'), { passed: 1, problem: null }, 'and the next one is not told by it')
  t.match(tap('1..0 # SKIP not on this system'), { passed: 0, skipped: ['SKIP not on this system'], problem: null })
})

t.test('a file that did not run to its end, or printed results that are not its own, is told from one that did', async (t) => {
  const cases: Record<string, [string[], RegExp]> = {
    'nothing at all': [[], /without a plan/],
    'an exit between two tests': [['ok 1 - a'], /without a plan/],
    'a line of a program under test': [['ok 1 - a', 'ok 1 - its own', '1..1'], /result 1 came where 2 was due/],
    'one glued to other output': [['ok 1 - a', 'waiting.ok 2 - b', '1..2'], /2 tests were planned, 1 have a result/],
    'a failure that is glued': [['ok 1 - a', 'waiting.not ok 2 - b', 'ok 3 - c', '1..3'], /result 3 came where 2 was due/]
  }
  for (const [what, [lines, problem]] of Object.entries(cases)) t.match(tap(...lines).problem, problem, what)
})
