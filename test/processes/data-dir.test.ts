import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { requireDataDir } from '../../src/processes/data-dir.ts'
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
