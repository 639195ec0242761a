import { createConnection } from 'node:net'
import type { Json } from '../std/json.ts'
import { socketPath } from './control.ts'
import type { ControlReply } from './messages.ts'

const REPLY_BYTES_MAX = 16 * 1_048_576

/**
 * Asks the server that owns the data directory.
 * @returns its answer, or null when no server runs there
 */
export function askServer (
  request: { dataDir: string, verb: string, args: Json },
  progress: (message: Json) => void
): Promise<Exclude<ControlReply, { progress: Json }> | null> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath(request.dataDir))
    let isConnected = false
    let text = ''
    socket.setEncoding('utf8')
    socket.once('connect', () => {
      isConnected = true
      socket.write(JSON.stringify({ verb: request.verb, args: request.args }) + '\n')
    })
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > REPLY_BYTES_MAX) socket.destroy(new Error('The server\'s answer is too long'))
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const reply = JSON.parse(text.slice(0, end)) as ControlReply
        text = text.slice(end + 1)
        if ('progress' in reply) progress(reply.progress)
        else resolve(reply)
      }
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (
        !isConnected && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR')
      ) {
        resolve(null)
      } else reject(error)
    })
    // A resolved promise stays resolved: this only speaks when the answer never came.
    socket.once('close', () => reject(new Error('The server ended before it answered')))
  })
}
