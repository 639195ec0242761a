import { chmodSync, chownSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { closeKeyFiles, requireDataDir } from '../../src/processes/data-dir.ts'
import { makeDataDir } from '../server.ts'

t.test('a data directory that is open to others is narrowed where it is ours, and warned about elsewhere', async (t) => {
  const cases: Array<[name: string, file: string | null, mode: number, after: number, level: 'info' | 'warn' | null]> = [
    ['ours', 'neko.db', 0o755, 0o700, 'info'],
    ['ours, of a group', 'jwt.secret', 0o770, 0o700, 'info'],
    ['empty', null, 0o777, 0o700, 'info'],
    ['closed already', 'neko.db', 0o700, 0o700, null],
    ['a home or a project', 'notes.txt', 0o755, 0o755, 'warn'],
    ['like /tmp', null, 0o1777, 0o1777, 'warn']
  ]
  for (const [name, file, mode, after, level] of cases) {
    const dataDir = join(makeDataDir(t), 'data')
    mkdirSync(dataDir)
    if (file !== null) writeFileSync(join(dataDir, file), '')
    chmodSync(dataDir, mode)
    const lines: string[] = []
    requireDataDir(dataDir, { info: () => { lines.push('info') }, warn: () => { lines.push('warn') } })
    t.equal(statSync(dataDir).mode & 0o7777, after, name)
    t.same(lines, level === null ? [] : [level], name)
  }
  const made = join(makeDataDir(t), 'a', 'b')
  requireDataDir(made, { info: () => t.fail('a word'), warn: () => t.fail('a word') })
  t.equal(statSync(made).mode & 0o777, 0o700, 'what is made is closed')
})

t.test('a generated key that is open to others is closed, with one line that names it and its mode', async (t) => {
  const dataDir = makeDataDir(t)
  mkdirSync(join(dataDir, 'audit'))
  const files = ['jwt.secret', join('audit', 'signing.key')]
  const lines: unknown[] = []
  const log = { warn: (fields: object, message: string) => { lines.push([fields, message]) } }
  closeKeyFiles(dataDir, log)
  for (const file of files) writeFileSync(join(dataDir, file), 'swordfish', { mode: 0o600 })
  closeKeyFiles(dataDir, log)
  t.same(lines, [], 'none, and closed ones')
  for (const mode of [0o644, 0o640, 0o666, 0o602]) {
    for (const file of files) chmodSync(join(dataDir, file), mode)
    closeKeyFiles(dataDir, log)
    t.match(lines.splice(0), files.map((file) => [{ file, mode: `0${mode.toString(8)}` }, /it is 0600 now/]))
    for (const file of files) t.equal(statSync(join(dataDir, file)).mode & 0o777, 0o600)
  }
  if (process.getuid?.() === 0) {
    chmodSync(join(dataDir, 'jwt.secret'), 0o644)
    chownSync(join(dataDir, 'jwt.secret'), 12_345, 12_345)
    closeKeyFiles(dataDir, log)
    t.match(lines.splice(0), [[{ file: 'jwt.secret', mode: '0644' }, /chmod 600/]], "another user's is left to that user")
    t.equal(statSync(join(dataDir, 'jwt.secret')).mode & 0o777, 0o644)
  }
  rmSync(join(dataDir, 'audit'), { recursive: true })
  writeFileSync(join(dataDir, 'audit'), '')
  closeKeyFiles(dataDir, log)
  t.same(lines.splice(0).length, process.getuid?.() === 0 ? 1 : 0)
})
