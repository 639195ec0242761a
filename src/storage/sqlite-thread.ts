import type { MessagePort } from 'node:worker_threads'
import { BUSY_TIMEOUT_MS, openFile } from './sqlite-file.ts'
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
  const writer = new Writer(openFile(data.file, { timeoutMs: BUSY_TIMEOUT_MS }), data.specs)
  port.on('message', (message: ToThread) => {
    if (message.kind === 'batch') return port.postMessage({ kind: 'answers', answers: writer.apply(message.batch) })
    writer.close()
    port.postMessage({ kind: 'closed' })
    port.close()
  })
  port.postMessage({ kind: 'ready' })
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
