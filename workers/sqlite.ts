// Thread entry: the one writer of a process. Opened by path (src/storage/sqlite-queue.ts), imported by nobody.
import { parentPort, workerData } from 'node:worker_threads'
import { serveWrites } from '../src/storage/sqlite-thread.ts'

if (parentPort !== null) serveWrites(parentPort, workerData)
