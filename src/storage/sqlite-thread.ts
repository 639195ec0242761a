import type { MessagePort } from 'node:worker_threads'
import { fileAt, FileWatch } from '../std/file-watch.ts'
import { BUSY_TIMEOUT_MS, COMPANIONS, openFile } from './sqlite-file.ts'
import type { TableSpec } from './sqlite-table.ts'
import { type Batch, type WriteAnswer, Writer } from './sqlite-writer.ts'

/**
 * The work of a storage thread: the writer (batches in, answers out, until told to close) or one backup. Kept apart
 * from the entry in workers/, so that tests can hand it any port.
 */
export type ThreadData =
  | { file: string, task: 'write', specs: Array<[name: string, spec: TableSpec]> }
  | { file: string, task: 'backup', into: string }
type ToThread = { kind: 'batch', batch: Batch } | { kind: 'close' }
export type FromThread =
  | { kind: 'ready' }
  | { kind: 'answers', answers: WriteAnswer[] }
  | { kind: 'closed' }
  | { kind: 'backed-up' }

/** The writer's thread: batches in, answers out, until it is told to close. */
export function serveWrites (port: MessagePort, data: ThreadData): void {
  if (data.task === 'backup') return backUp(port, data)
  const writer = new Writer(openFile(data.file, { timeoutMs: BUSY_TIMEOUT_MS }), data.specs, createLook(data.file))
  port.on('message', (message: ToThread) => {
    if (message.kind === 'batch') {
      const answers = writer.apply(message.batch)
      port.postMessage({ kind: 'answers', answers })
      // Opened while the disk was read-only it can never write: the next thread opens it anew.
      const isReadOnly = answers.some((answer) => 'failed' in answer && answer.failed === 'readonly')
      if (isReadOnly) throw new Error('the file is read-only')
      return
    }
    writer.close()
    port.postMessage({ kind: 'closed' })
    port.close()
  })
  port.postMessage({ kind: 'ready' })
}

/**
 * Tells before each commit whether the files that it goes into are still those at their paths. The write-ahead log is
 * made with the first transaction of all, and stays while anybody has the database open.
 */
function createLook (file: string): () => boolean {
  const watch = new FileWatch()
  watch.keep(file, fileAt(file))
  return () => {
    for (const path of COMPANIONS.map((suffix) => file + suffix)) {
      if (!watch.keeps(path)) watch.keep(path, fileAt(path))
    }
    return watch.look() === null
  }
}

/** VACUUM INTO reads one snapshot, so it ends under any load; the backup API starts over at each foreign commit. */
function backUp (port: MessagePort, data: { file: string, into: string }): void {
  const db = openFile(data.file, { timeoutMs: BUSY_TIMEOUT_MS })
  try {
    db.prepare('VACUUM INTO ?').run(data.into)
    port.postMessage({ kind: 'backed-up' })
  } finally {
    db.close()
    port.close()
  }
}
