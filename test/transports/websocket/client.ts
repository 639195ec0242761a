import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import WebSocket from 'ws'
import type { StartedServer, Teardown } from '../../server.ts'

/** A client of graphql-transport-ws that does what it is told, right or wrong. */
export interface Peer {
  ws: WebSocket
  /** Headers of the 101. */
  headers: Record<string, string | string[] | undefined>
  /** The process that took the socket, from its receipt's id. */
  processId: string
  send (message: unknown): void
  /** connection_init, and waits for the ack. */
  init (payload?: object): Promise<Peer>
  subscribe (id: string, query: string, variables?: object): void
  /** The first message, come or to come, that fits; it is taken out. */
  receive (fits: Partial<Message> | ((message: Message) => boolean)): Promise<Message>
  /** What came and was not received yet. */
  unread (): readonly Message[]
  /** What an operation comes to: its next or error. */
  ask (query: string, variables?: object): Promise<Message>
  closed: Promise<{ code: number, reason: string, afterMs: number }>
}

// Tests read into payloads without naming their types.

export interface Message { id?: string, type: string, payload?: any }

export interface ConnectOptions { localAddress?: string, headers?: Record<string, string>, protocol?: string }

export const PASSWORD = 'a long pass phrase for sockets'
export const PEOPLE = Object.freeze({ ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '100000/60/0', RATE_LIMIT_RELAXED: '100000/60/0', LOG_LEVEL: 'warn' })
/** Ends a test that would hang; no time is judged by it. */
const WAIT_MS = 20_000

export async function connect (t: Teardown, server: Pick<StartedServer, 'port'>, { localAddress = '127.0.0.1', headers = {}, protocol = 'graphql-transport-ws' }: ConnectOptions = {}): Promise<Peer> {
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}/graphql`, protocol, { localAddress, headers: { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', ...headers }, perMessageDeflate: true })
  t.teardown(() => ws.terminate())
  const inbox: Message[] = []
  const waiting = new Set<() => void>()
  let count = 0
  let upgrade: Peer['headers'] = {}
  ws.once('upgrade', (response) => { upgrade = response.headers })
  ws.on('message', (data) => {
    inbox.push(JSON.parse(String(data)) as Message)
    for (const look of waiting) look()
  })
  const openedMs = performance.now()
  const closed = new Promise<{ code: number, reason: string, afterMs: number }>((resolve) => ws.once('close', (code, reason) => resolve({ code, reason: String(reason), afterMs: performance.now() - openedMs })))
  await once(ws, 'open')
  ws.on('error', () => { /* the close says enough */ })

  const send = (message: unknown): void => ws.send(JSON.stringify(message))
  const receive: Peer['receive'] = (fits) => {
    const isFit = typeof fits === 'function' ? fits : (message: Message) => Object.entries(fits).every(([name, value]) => message[name as keyof Message] === value)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(look)
        reject(new Error(`no such message; there are ${JSON.stringify(inbox).slice(0, 2000)}`))
      }, WAIT_MS)
      const look = (): void => {
        const index = inbox.findIndex(isFit)
        if (index === -1) return
        clearTimeout(timer)
        waiting.delete(look)
        resolve(inbox.splice(index, 1)[0] as Message)
      }
      waiting.add(look)
      look()
    })
  }
  const peer: Peer = {
    ws,
    headers: upgrade,
    processId: String(upgrade['x-neko-assessment']).split('_')[1] as string,
    send,
    receive,
    unread: () => inbox,
    closed,
    async init (payload) {
      send({ type: 'connection_init', ...(payload === undefined ? {} : { payload }) })
      await receive({ type: 'connection_ack' })
      return peer
    },
    subscribe: (id, query, variables) => send({ id, type: 'subscribe', payload: { query, ...(variables === undefined ? {} : { variables }) } }),
    async ask (query, variables) {
      const id = `ask-${++count}`
      peer.subscribe(id, query, variables)
      return await receive((message) => message.id === id && message.type !== 'complete')
    }
  }
  return peer
}

/** One GraphQL operation over HTTP. */

export async function post (server: Pick<StartedServer, 'url'>, query: string, variables: object = {}, headers: Record<string, string> = {}): Promise<any> {
  const answer = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ query, variables }) })
  return await answer.json()
}

/** The administrator's `authorization`. */
export async function login (server: Pick<StartedServer, 'url'>): Promise<{ authorization: string }> {
  const { data } = await post(server, 'mutation ($password: String!) { login(username: "admin", password: $password) { accessToken } }', { password: PASSWORD })
  return { authorization: `Bearer ${data.login.accessToken}` }
}

/** A raw handshake; resolves with everything the server sent until it closed the connection, or until the 101. */
export async function handshake (server: Pick<StartedServer, 'port'>, { path = '/graphql', headers = {}, omit = [] }: { path?: string, headers?: Record<string, string>, omit?: string[] } = {}): Promise<{ status: number, head: string, body: string }> {
  const all: Record<string, string> = { host: `127.0.0.1:${server.port}`, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-protocol': 'graphql-transport-ws', ...headers }
  for (const name of omit) delete all[name]
  const socket = connectTcp(server.port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  let text = ''
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(WAIT_MS, () => reject(new Error(`the connection stays open after ${text}`)))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? NaN)
      if (text.startsWith('HTTP/1.1 101 ') || text.length >= text.indexOf('\r\n\r\n') + 4 + length) resolve()
    })
    socket.on('close', () => resolve())
    socket.on('error', reject)
  })
  socket.destroy()
  const [head = '', body = ''] = text.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head, body }
}

/** A metric without labels. */
export async function metric (server: Pick<StartedServer, 'metricsUrl'>, name: string): Promise<number> {
  const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN)
}

/** Asks every 20 ms until it holds; false after `timeoutMs`. */
export async function eventually (holds: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs
  while (performance.now() < deadlineMs) {
    if (await holds()) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}
