import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { askServer } from '../../src/processes/control-client.ts'
import { until } from '../processes/load.ts'
import { neko as runNeko, type Done } from './neko.ts'
import { startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { PASSWORD, asAdmin, createTestClient } from './client.ts'

/** A log whose seals were lost: the server starts and serves, nothing of the evidence goes, and a person has the last word. */
const env = { ADMIN_PASSWORD: PASSWORD }

t.test('after kill -9 a damaged log is left as it is, told at each start, and accepted by a person', async (t) => {
  const killed = await startServer(t, { env })
  const { dataDir } = killed
  const block = (value: string): string => `mutation { addDecision(scope: IP, value: "${value}", action: BLOCK, reason: "r") { id } }`
  t.equal((await (await asAdmin(createTestClient(t, killed))).graphql(block('203.0.113.5'))).status, 200)
  const directory = join(dataDir, 'audit')
  const trail = readdirSync(directory).find((name) => name.endsWith('-0.log'))!.slice(0, -'-0.log'.length)
  const log = join(directory, `${trail}-0.log`)
  // At most 5 s behind the event its checkpoint is there.
  await until('the checkpoint', () => lastOf(join(directory, `${trail}.seals`)).seq === lastOf(log).seq, 50_000)
  const kept = readFileSync(join(directory, `${trail}.seals`), 'utf8').split('\n').at(-2)!
  await killed.kill()
  const whole = readFileSync(log)

  writeFileSync(log, whole.subarray(0, whole.length >> 1))
  const halved = await neko(dataDir, 'audit', 'verify', '--json')
  t.equal(halved.code, 1, 'a log that was halved is found at once')
  t.ok(report(halved).findings.every((finding) => finding.trail === trail), 'and named')
  writeFileSync(log, whole)
  writeFileSync(join(directory, `${trail}.seals`), '')

  const server = await startServer(t, { env, dataDir })
  t.match(warnings(server), [{ trail, problem: /seals/ }], 'one line')
  const files = (): Buffer[] => [log, join(directory, `${trail}.seals`)].map((path) => readFileSync(path))
  t.same(files(), [whole, Buffer.alloc(0)], 'nothing was touched')
  const client = await asAdmin(createTestClient(t, server))
  t.match((await client.graphql('{ decisions { nodes { value } } }')).json, { data: { decisions: { nodes: [{ value: '203.0.113.5' }] } } }, 'what was acknowledged is in force')

  const misuses = await Promise.all([
    neko(dataDir, 'audit', 'accept', trail),
    neko(dataDir, 'audit', 'accept', trail, '--because', 'x'.repeat(501)),
    neko(dataDir, 'audit', 'accept', '../x', '--because', 'x')
  ])
  t.same(misuses.map(({ code }) => code), [64, 64, 64])
  const [before, unknown] = await Promise.all([neko(dataDir, 'audit', 'verify'), neko(dataDir, 'audit', 'accept', 'nobody', '--because', 'x')])
  t.match(before, { code: 1, stdout: new RegExp(`neko audit accept <trail> --because <text>\\n {2}${trail}\\n`) })
  t.match(unknown, { code: 1, stderr: /finds nothing of nobody/ })

  const claimed = { because: 'x', files: null, findings: 1, marks: '0'.repeat(16), all: '0'.repeat(64), examples: [] }
  const own = readdirSync(directory).find((name) => name.endsWith('.pid') && name !== `${trail}.pid`)!.slice(0, -'.pid'.length)
  for (const [name, code] of [['nobody', 'NOT_FOUND'], [own, 'INPUT_INVALID'], ['../x', 'INPUT_INVALID'], [7, 'INPUT_INVALID']] as const) {
    t.match(await askServer({ dataDir, verb: 'audit accept', args: { trail: name, ...claimed } }, () => {}), { ok: false, error: { code: `NEKO_ERR_${code}` } }, `${name}`)
  }
  const accepted = await neko(dataDir, 'audit', 'accept', trail, '--because', 'the disk was full;\n password=hunter22 neko_0123456789abcdef', '--json')
  t.match(accepted, { code: 0 }, accepted.stderr)
  t.match(JSON.parse(accepted.stdout), { trail, origin: 'cli', because: /^the disk was full; / })
  t.notMatch(accepted.stdout, /0123456789abcdef/, 'no secret stands in a reason')
  const after = await neko(dataDir, 'audit', 'verify', '--json')
  t.equal(after.code, 0, after.stdout)
  t.match(report(after).notes.filter((note) => note.trail === trail).map(({ message }) => message).join('\n'), /is accepted as it is: the disk was full; /)
  t.match(report(after).accepted.map(({ message }) => message).join('\n'), /the seals file holds no checkpoint/)
  const [words, shown] = await Promise.all([neko(dataDir, 'audit', 'verify'), neko(dataDir, 'audit', 'verify', '--against', kept)])
  t.match(words, { code: 0, stdout: new RegExp(`^holds, with ${report(after).accepted.length} accepted: `, 'm') })
  t.match(shown, { code: 1, stdout: /which --against holds, is missing/ }, 'a checkpoint that was kept elsewhere has its say')
  t.notMatch(shown.stdout, /neko audit accept/, 'and nothing is offered against it')
  t.match(await until('its line', () => server.logs().find(({ msg }) => /a person accepted an audit log/.test(String(msg))), 20_000), { level: 'warn', trail })
  await server.stop()

  // Once more without a server, of a log that changed since.
  writeFileSync(log, whole.subarray(0, whole.length >> 1))
  t.equal((await neko(dataDir, 'audit', 'verify')).code, 1, 'a later change is found again')
  const again = await neko(dataDir, 'audit', 'accept', trail, '--because', 'an exercise')
  t.equal(again.code, 0, again.stderr)
  const next = await startServer(t, { env, dataDir })
  t.same(warnings(next), [], 'and told no more')
  const last = await neko(dataDir, 'audit', 'verify')
  t.equal(last.code, 0, last.stdout)
})

function lastOf (path: string): { seq: number } {
  return JSON.parse(readFileSync(path, 'utf8').split('\n').at(-2)!) as { seq: number }
}

function report ({ stdout }: { stdout: string }): VerifyReport {
  return JSON.parse(stdout) as VerifyReport
}

function warnings (server: StartedServer): Array<Record<string, unknown>> {
  return server.logs().filter(({ msg }) => /an audit log does not hold/.test(String(msg)))
}

const neko = async (dataDir: string, ...args: string[]): Promise<Done> => await runNeko(dataDir, args, env)
