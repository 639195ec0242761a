/**
 * What does a server ask of its database, and what does it hold? Runs inside the measured server, before it
 * (`node --import`), in its main thread and in those of its threads that get its environment; nothing of the server
 * knows of it.
 *
 * Reads are counted at the driver: each execution of a statement of `node:sqlite` that begins with SELECT or WITH, or
 * asks for `data_version`, whoever prepared it and however often it was executed before. On SIGUSR2 the main thread
 * writes `Reading` to the file that PROBE_FILE names, in place of the `Question` that stands there until then.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { StatementSync } from 'node:sqlite'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'

export interface Reading {
  /** Executions since the server's start: of the main thread by table, and of all other threads together. */
  readsByTable: Record<string, number>
  readsOfThreads: number
  /** Of the process, with the pages that V8 keeps for the next garbage. */
  rssBytesBefore: number
  /** Of the main thread, after a full collection where one was asked for; `rss` is the whole process. */
  memory: NodeJS.MemoryUsage
}

/** `collect`: garbage is collected first, which costs the server some of what it had compiled. */
export type Question = 'count' | 'collect'

const SHARED = 'bench reads'
const READ = /^\s*(?:SELECT|WITH|PRAGMA\s+data_version)\b/i
const TABLE = /\b(?:FROM\s+"?|PRAGMA\s+)(\w+)/i

if (isMainThread) setEnvironmentData(SHARED, new SharedArrayBuffer(4))
const readsOfThreads = new Int32Array(getEnvironmentData(SHARED) as unknown as SharedArrayBuffer)
const readsByTable: Record<string, number> = {}
/** By statement: its text is looked at once. Null is no read. */
const tables = new WeakMap<StatementSync, string | null>()

countExecutions('all')
countExecutions('get')
countExecutions('iterate')
if (isMainThread) process.on('SIGUSR2', report)

function countExecutions (method: 'all' | 'get' | 'iterate'): void {
  const execute = StatementSync.prototype[method] as (...args: unknown[]) => never
  StatementSync.prototype[method] = function (this: StatementSync, ...args: unknown[]): never {
    count(this)
    return execute.apply(this, args)
  }
}

function count (statement: StatementSync): void {
  let table = tables.get(statement)
  if (table === undefined) tables.set(statement, table = tableOf(statement.sourceSQL))
  if (table === null) return
  if (isMainThread) readsByTable[table] = (readsByTable[table] ?? 0) + 1
  else Atomics.add(readsOfThreads, 0, 1)
}

function tableOf (sql: string): string | null {
  return READ.test(sql) ? TABLE.exec(sql)?.[1] ?? 'none' : null
}

function report (): void {
  const file = process.env['PROBE_FILE']
  if (file === undefined) return
  const rssBytesBefore = process.memoryUsage.rss()
  const question = readFileSync(file, 'utf8') as Question
  if (question === 'collect') collectAll()
  const reading: Reading = {
    readsByTable,
    readsOfThreads: Atomics.load(readsOfThreads, 0),
    rssBytesBefore,
    memory: process.memoryUsage()
  }
  // Whoever waits for the file finds it whole.
  writeFileSync(`${file}.new`, JSON.stringify(reading))
  renameSync(`${file}.new`, file)
}

/** V8 gives free pages back in its last resort, and otherwise only after seconds without work. */
function collectAll (): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: object) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
