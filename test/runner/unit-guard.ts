import childProcess from 'node:child_process'
import dgram from 'node:dgram'
import inspector from 'node:inspector'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import workers, { type WorkerOptions } from 'node:worker_threads'

/**
 * Loaded before each test of the tier `unit`: a test that starts a process or opens a socket depends on the machine and
 * on others that run beside it, and belongs to `system`. The test fails at the line that tried; where that failure is
 * caught, the file fails at its end. Threads are guarded too, except those made of a text.
 */
const refused: Error[] = []
const refuse = (what: string) => (): never => {
  const error = new Error(`${what} in a unit test: name the file *.system.test.ts`)
  refused.push(error)
  throw error
}

for (const name of ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'] as const) {
  childProcess[name] = refuse(`child_process.${name}`) as never
}
Object.assign(childProcess.ChildProcess.prototype, { spawn: refuse('ChildProcess.spawn') })
net.Server.prototype.listen = refuse('net.Server.listen') as never
net.Socket.prototype.connect = refuse('net.Socket.connect') as never
for (const name of ['bind', 'connect', 'send'] as const) dgram.Socket.prototype[name] = refuse(`dgram.Socket.${name}`) as never
inspector.open = refuse('inspector.open') as never
workers.Worker = class extends workers.Worker {
  constructor (file: string | URL, options: WorkerOptions = {}) {
    // Without options of its own a thread has those of its process, this file among them.
    super(file, options.execArgv === undefined ? options : { ...options, execArgv: [...options.execArgv, `--import=${import.meta.filename}`] })
  }
}
syncBuiltinESMExports()

process.once('exit', () => {
  for (const { stack } of refused) console.error(stack)
  if (refused.length > 0) process.exitCode = 1
})
