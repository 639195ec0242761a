import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeDataDir } from '../server.ts'
import { runJobs, type Outcome } from './run-jobs.ts'

/** Files that look well and are not, each run as the runner runs any file. */
const folder = makeDataDir(t)
const home = process.cwd()
t.before(() => process.chdir(folder))
t.teardown(() => process.chdir(home))
const TAP = import.meta.resolve('tap')

async function outcomeOf (name: string, text: string, timeoutMs = 60_000): Promise<Outcome> {
  const file = join(folder, name)
  writeFileSync(file, `import t from ${JSON.stringify(TAP)}\n${text}`)
  const tier = name.includes('.system.') ? 'system' : 'unit'
  const [outcome] = await runJobs([{ file, tier, timeoutMs }], () => {})
  return outcome!
}

t.test('a file fails when it dies, says less than it planned, holds its output, or never ends', async (t) => {
  const cases: Record<string, [text: string, shown: RegExp]> = {
    'a signal behind a failure': ["t.test('a', async (t) => t.fail('red')); t.test('b', async () => { console.error('FATAL: memory'); process.abort() })", /ended with SIGABRT.*FATAL: memory/s],
    'an end without a plan': ["t.test('a', async (t) => t.pass()); t.test('b', async () => process.reallyExit(0))", /without a plan/],
    'an exit code of its own': ["t.test('a', async (t) => t.fail('red')); process.on('exit', () => process.reallyExit(0))", /ended with 0/],
    'a process that holds its output': ["import { spawn } from 'node:child_process'\nspawn('sleep', ['20'], { detached: true, stdio: 'inherit' }).unref(); t.pass()", /holds its output/],
    'output without end': ["t.pass(); const more = () => process.stdout.write('x'.repeat(1e6) + '\\n', more); more()", /characters of output/],
    'no test': ['', /without a plan|ran no test/]
  }
  for (const [what, [text, shown]] of Object.entries(cases)) {
    const { tally } = await outcomeOf(`${what.replaceAll(' ', '-')}.system.test.mjs`, text)
    t.ok(tally.failed > 0, what)
    t.match(tally.failures.join('\n'), shown, what)
  }
})

t.test('variables that make tap leave tests out are kept from the files', async (t) => {
  process.env.TAP_ONLY = process.env.TAP_GREP = '1'
  t.teardown(() => { delete process.env.TAP_ONLY; delete process.env.TAP_GREP })
  t.match((await outcomeOf('all.system.test.mjs', "t.test('a', async (t) => t.pass()); t.test('b', async (t) => t.fail())")).tally, { passed: 1, failed: 1, skipped: [] })
})

t.test('a unit test that opens a socket or starts a process fails, also where it catches the refusal or asks a thread', async (t) => {
  writeFileSync(join(folder, 'thread.mjs'), "import net from 'node:net'\nnet.connect(1)")
  const tries = {
    connects: "import net from 'node:net'\nawait t.rejects(async () => net.connect(1))",
    sends: "import dgram from 'node:dgram'\nawait t.rejects(async () => dgram.createSocket('udp4').send('x', 1))",
    spawns: "import { spawn } from 'node:child_process'\nawait t.rejects(async () => spawn('true'))",
    threads: "import { Worker } from 'node:worker_threads'\nawait new Promise((resolve, reject) => new Worker(new URL('thread.mjs', import.meta.url), { execArgv: [] }).once('error', reject).once('exit', resolve))"
  }
  for (const [name, text] of Object.entries(tries)) {
    const { tally } = await outcomeOf(`${name}.test.mjs`, text)
    t.ok(tally.failed > 0, name)
    t.match(tally.failures.join('\n'), /in a unit test: name the file/, name)
  }
  t.match(readFileSync(join(folder, '.tap/output.tap'), 'utf8'), /thread/, 'all output is kept')
})
