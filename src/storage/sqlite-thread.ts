import type { MessagePort } from 'node:worker_threads'
import { BUSY_TIMEOUT_MS, openFile } from './sqlite-file.ts'
import { type Batch, type TableSpec, createWriter } from './sqlite-writer.ts'

/**
 * What runs on a storage thread: the writer (batches in, answers out, until told to close) or one backup. Kept apart
 * from the entry in workers/, so that tests can hand it any port.
 */
export type ThreadData = { file: string, task: 'write', specs: Array<[name: string, spec: TableSpec]> } | {
  file: string,
  task: 'backup',
  into: string
}
export type ToThread = { kind: 'batch', batch: Batch } | { kind: 'close' }
export type FromThread = { kind: 'ready' } | { kind: 'answers', answers: unknown[] } | { kind: 'closed' } | {
  kind: 'backed-up'
}

/** The writer's thread: batches in, answers out, until it is told to close. */
export function serveWrites (port: MessagePort, data: ThreadData): void {
  if (data.task === 'backup') return backUp(port, data)
  const writer = createWriter(openFile(data.file, { timeoutMs: BUSY_TIMEOUT_MS }), new Map(data.specs))
  port.on('message', (message: ToThread) => {
    if (message.kind === 'batch') return port.postMessage({ kind: 'answers', answers: writer.apply(message.batch) })
    writer.close()
    port.postMessage({ kind: 'closed' })
    port.close()
  })
  port.postMessage({ kind: 'ready' })
}

/**
 * VACUUM INTO reads one snapshot, so it ends under any load; the backup API starts over at each commit of
 * another process.
 */
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
