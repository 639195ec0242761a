import childProcess from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

/**
 * Loaded before each test of the tier `unit`: a test that starts a process or opens a socket depends on the machine and
 * on others that run beside it, and belongs to `system`. The test fails at the line that tried.
 */
const refuse = (what: string) => (): never => {
  throw new Error(`${what} in a unit test: name the file *.system.test.ts`)
}

for (const name of ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'] as const) {
  childProcess[name] = refuse(`child_process.${name}`) as never
}
net.Server.prototype.listen = refuse('net.Server.listen') as never
net.Socket.prototype.connect = refuse('net.Socket.connect') as never
syncBuiltinESMExports()
