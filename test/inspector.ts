import type { StartedServer } from './server.ts'

/** Asks a server that was started with NODE_OPTIONS=--inspect=127.0.0.1:0 what it holds, after a garbage collection. */
export interface Inspector {
  /** Bytes in use on the main thread's heap after a full collection. */
  heapBytes (): Promise<number>
  /** The value of an expression in the server. */
  evaluate (expression: string): Promise<unknown>
  close (): void
}

export async function openInspector (server: Pick<StartedServer, 'output'>): Promise<Inspector> {
  const url = /Debugger listening on (ws:\S+)/.exec(server.output())?.[1]
  if (url === undefined) throw new Error('the server was not started with --inspect')
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', reject)
  })
  let id = 0
  const waiting = new Map<number, (result: never) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data as string) as { id?: number, result: never }
    if (message.id !== undefined) waiting.get(message.id)?.(message.result)
  })
  const call = async <T>(method: string, params = {}): Promise<T> => await new Promise((resolve) => {
    waiting.set(++id, resolve)
    socket.send(JSON.stringify({ id, method, params }))
  })
  return {
    async heapBytes () {
      for (let i = 0; i < 3; i++) await call('HeapProfiler.collectGarbage')
      return (await call<{ usedSize: number }>('Runtime.getHeapUsage')).usedSize
    },
    evaluate: async (expression) => (await call<{ result: { value: unknown } }>('Runtime.evaluate', { expression, returnByValue: true })).result.value,
    close: () => socket.close()
  }
}
