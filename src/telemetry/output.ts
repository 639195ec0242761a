import { systemClock } from '../std/clock.ts'

/**
 * What a process prints may find nobody: `npm start | head`, a journal that is started anew. A server does not end for
 * want of a reader. It says so once, on stderr, and goes on without its log, which pino ends by itself.
 */
let isLost = false

/** From then on an error of stdout or stderr ends nothing. */
export function surviveLostOutput (): void {
  process.stdout.on('error', noteLostOutput)
  process.stderr.on('error', () => { /* there is nobody left to tell */ })
}

/** Text for the person who started the server. */
export function print (text: string): void {
  process.stdout.write(text)
}

function noteLostOutput ({ code }: NodeJS.ErrnoException): void {
  if (isLost) return
  isLost = true
  const time = new Date(systemClock.now()).toISOString()
  const msg = 'stdout cannot be written: log lines are lost, the server goes on'
  try {
    process.stderr.write(JSON.stringify({ level: 'error', time, pid: process.pid, code, msg }) + '\n')
  } catch { /* nor can stderr */ }
}
