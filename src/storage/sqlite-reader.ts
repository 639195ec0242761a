import type { DatabaseSync } from 'node:sqlite'
import { statSync } from 'node:fs'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { FileWatch } from '../std/file-watch.ts'
import { checkFileMark } from './migrate.ts'
import type { CollectionDefinition } from './port.ts'
import { checkFile, COMPANIONS, openFile, openFrozenFile, prepareFile, reasonOf, typedError } from './sqlite-file.ts'
import type { FailureReason } from './sqlite-file.ts'
import type { Sql } from './sqlite-sql.ts'
import { Statements } from './sqlite-statements.ts'

/**
 * The connection that a process reads by, on its main thread. It is opened again as often as it must be: a disk that is
 * full or read-only has no room for the files beside the database (`-wal`, `-shm`) without which SQLite does not open
 * it. Where there is nothing in them that a reader would need, the database is read as it lies (`immutable`), until
 * somebody writes again; elsewhere nothing is read, and the rooms go on with what they hold.
 */
/** Readers of a WAL file wait for nobody but a checkpoint's last step; more than this would stall the event loop. */
const READ_TIMEOUT_MS = 50
/** A file that cannot be opened is tried again by a read at most this often. */
const REOPEN_MS = 1_000

const DATA_VERSION: Sql = { text: 'PRAGMA data_version', params: [] }

type Row = Record<string, unknown>

export class Reader {
  readonly #file: string
  readonly #watch: FileWatch
  #db: DatabaseSync | null = null
  #statements: Statements | null = null
  #isFrozen = false
  /** Once in a process: it reads the whole file. */
  #isChecked = false
  #triedAtMs = -Infinity
  #version = 0
  #dataVersion: unknown = null

  constructor (file: string, watch: FileWatch) {
    this.#file = file
    this.#watch = watch
  }

  /** Opened for good, and not as it lies. */
  get isWhole (): boolean { return this.#db !== null && !this.#isFrozen }

  /**
   * Opens the file anew. Returns why it is not open, or only as it lies; null when all is well.
   * @throws NEKO_ERR_STORE_CORRUPT, NEKO_ERR_STORE_INCOMPATIBLE
   */
  open (): FailureReason | null {
    this.close()
    this.#triedAtMs = performance.now()
    this.#watch.look()
    if (this.#watch.isLost(this.#file)) return 'lost'
    try {
      prepareFile(this.#file)
      this.#take(openFile(this.#file, { timeoutMs: READ_TIMEOUT_MS }))
      for (const suffix of COMPANIONS) this.#keep(this.#file + suffix)
      return null
    } catch (error) {
      const reason = this.#reasonOf(error)
      if (reason !== 'locked') this.#openFrozen()
      return reason
    }
  }

  all ({ text, params }: Sql): Row[] {
    return this.#read((statements) => statements.prepare(text).all(...params))
  }

  get ({ text, params }: Sql): Row | undefined {
    return this.#read((statements) => statements.prepare(text).get(...params))
  }

  /**
   * Another number as soon as anybody, of this process or another one, has committed anything to the file. SQLite's own
   * `data_version` says so of one connection: what the next one counts has nothing to do with it.
   */
  version (): number {
    const { data_version: dataVersion } = this.get(DATA_VERSION)!
    if (dataVersion !== this.#dataVersion) {
      this.#dataVersion = dataVersion
      this.#version++
    }
    return this.#version
  }

  indexesOf ({ name }: CollectionDefinition, { text, params }: Sql): string[] {
    const plan = this.#read((statements) => statements.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...params))
    const names = plan.flatMap((row) => /USING (?:COVERING )?INDEX (\S+)/.exec(row.detail as string)?.[1] ?? [])
    return names.map((index) => index.startsWith('sqlite_autoindex') ? 'id' : index.replace(`i_${name}_`, ''))
  }

  close (): void {
    this.#db?.close()
    this.#db = null
    this.#statements = null
    this.#isFrozen = false
    this.#triedAtMs = -Infinity
  }

  #read<T> (work: (statements: Statements) => T): T {
    try {
      // Somebody writes again: what lies in the database is not all any more.
      if (this.#isFrozen && hasJournal(this.#file)) this.close()
      if (this.#statements === null && performance.now() - this.#triedAtMs >= REOPEN_MS) this.open()
      if (this.#statements === null) throw new NEKO_ERR_STORE_UNAVAILABLE()
      return work(this.#statements)
    } catch (error) {
      throw typedError(error, this.#file)
    }
  }

  #openFrozen (): void {
    if (hasJournal(this.#file)) return
    try {
      this.#take(openFrozenFile(this.#file))
      this.#isFrozen = true
      this.#keep(this.#file)
    } catch { /* not even that: nothing is read */ }
  }

  #take (db: DatabaseSync): void {
    try {
      if (!this.#isChecked) checkFile(db, this.#file)
      checkFileMark(db)
      this.#isChecked = true
    } catch (error) {
      db.close()
      throw error
    }
    this.#db = db
    this.#dataVersion = null
    this.#statements = new Statements(db)
  }

  /** The host's own finding, from before this process, counts more than this one's. */
  #keep (path: string): void {
    if (!this.#watch.keeps(path)) this.#watch.keep(path, this.#watch.identityAt(path))
  }

  #reasonOf (error: unknown): FailureReason {
    const typed = typedError(error, this.#file) as { code?: string }
    if (typed.code === 'NEKO_ERR_STORE_CORRUPT' || typed.code === 'NEKO_ERR_STORE_INCOMPATIBLE') throw typed
    return reasonOf(error)
  }
}

/** Commits, or a change under way, that lie beside the database. */
function hasJournal (file: string): boolean {
  return ['-wal', '-journal'].some((suffix) => (statSync(file + suffix, { throwIfNoEntry: false })?.size ?? 0) > 0)
}
