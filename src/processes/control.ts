import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join, relative } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { isNekoError, NEKO_ERR_INTERNAL, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Json } from '../std/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ControlReply } from './messages.ts'
import { lockOwner, OWNED } from './owner-lock.ts'
import type { OwnerLock } from './owner-lock.ts'

/**
 * The control socket `DATA_DIR/neko.sock`: how `neko` talks to the server that runs. A user who may open it owns the
 * data directory (mode 0600), so there is no further credential. One JSON line `{verb, args}` in; any number of
 * `{progress}` lines and one `{ok, result}` or `{ok: false, error}` out; then the connection ends.
 * A second server that finds a live one refuses to start, as where it finds the lock of the owner (owner-lock.ts).
 */
export type ControlHandler = (args: Json, progress: (message: Json) => void) => Promise<Json> | Json

export interface ControlVerbs {
  /** One handler per verb (`intel import`, `explain`): the last one counts. */
  handle (verb: string, handler: ControlHandler): void
  /** Where verbs without a handler go (the primary gives them to a worker). */
  forward (run: ControlVerbs['run']): void
  /** Runs a verb here; the result or the error as a reply, never a rejection. */
  run (verb: string, args: Json, progress: (message: Json) => void): Promise<ControlReply>
}

/** An empty table of verbs: rooms add theirs as they open. */
export function createControlVerbs (log: Pick<Logger, 'error'>): ControlVerbs {
  const handlers = new Map<string, ControlHandler>()
  let elsewhere: ControlVerbs['run'] | null = null
  return {
    handle (verb, handler) { handlers.set(verb, handler) },
    forward (run) { elsewhere = run },
    async run (verb, args, progress) {
      try {
        const handler = handlers.get(verb)
        if (handler === undefined && elsewhere !== null) return await elsewhere(verb, args, progress)
        if (handler === undefined) {
          const name = verb.slice(0, 40)
          throw new NEKO_ERR_NOT_FOUND(`This server does not know the verb "${name}", or has not started yet`)
        }
        return { ok: true, result: await handler(args, progress) }
      } catch (error) {
        if (!isNekoError(error) && !(error instanceof ConfigError)) {
          log.error({ err: error, verb }, 'a control verb failed')
        }
        return { ok: false, error: controlError(error) }
      }
    }
  }
}

/** The user of the socket owns the machine's data, and is told what happened, also when it is no error of ours. */
function controlError (error: unknown): { code: string, message: string } {
  if (isNekoError(error)) return { code: error.code, message: error.message }
  if (error instanceof ConfigError) return { code: 'NEKO_ERR_CONFIG_INVALID', message: error.message }
  const fallback = new NEKO_ERR_INTERNAL()
  return { code: fallback.code, message: error instanceof Error ? error.message : fallback.message }
}

/**
 * sun_path holds 107 bytes on Linux and 103 on macOS: longer ones are opened relative to the working
 * directory when that is shorter.
 */
const SOCKET_PATH_BYTES_MAX = 103
const REQUEST_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 32
/** A client that connects and says nothing. */
const REQUEST_TIMEOUT_MS = 10_000
/** A client that still reads its answer when the server closes gets this long. */
const LAST_ANSWER_MS = 200

/**
 * The path of the control socket, as this process can open it.
 * @throws ConfigError when it is too long for a socket.
 */
export function socketPath (dataDir: string): string {
  const absolute = join(dataDir, 'neko.sock')
  const near = relative(process.cwd(), absolute)
  const path = Buffer.byteLength(absolute) <= SOCKET_PATH_BYTES_MAX || near.length >= absolute.length ? absolute : near
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new ConfigError('DATA_DIR', 'is too long for the control socket in it (103 bytes)')
  }
  return path
}

export interface ControlServer { close (): Promise<void> }

/**
 * Opens the socket, replacing one that a dead server left.
 * @throws ConfigError naming DATA_DIR when a live server owns it.
 */
export async function openControlSocket (
  options: { dataDir: string, verbs: Pick<ControlVerbs, 'run'>, log: Pick<Logger, 'warn'> }
): Promise<ControlServer> {
  const lock = await lockOwner(options)
  try {
    return await listen(options, lock)
  } catch (error) {
    if (!isUnwritable(error)) {
      lock.release()
      throw error
    }
    options.log.warn(
      { code: error.code },
      'DATA_DIR takes no control socket, as its disk is full or read-only: neko cannot talk to this server'
    )
    return { close: async () => { lock.release() } }
  }
}

/** A directory that holds a store can be served from, also while it cannot be written. */
function isUnwritable (error: unknown): error is NodeJS.ErrnoException {
  return ['EROFS', 'ENOSPC', 'EDQUOT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
}

async function listen (
  options: { dataDir: string, verbs: Pick<ControlVerbs, 'run'> },
  lock: OwnerLock
): Promise<ControlServer> {
  const path = socketPath(options.dataDir)
  await removeStale(path)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => { /* the client left; what it asked for goes on */ })
    answer(socket, options.verbs)
  })
  server.maxConnections = CONNECTIONS_MAX
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new ConfigError('DATA_DIR', OWNED)
          : isUnwritable(error)
            ? error
            : new ConfigError('DATA_DIR', 'cannot hold the control socket')
      )
    })
    // The mode is narrowed before anyone is accepted: listen() creates the file, and the callback runs a turn later.
    const umask = process.umask(0o177)
    server.listen(path, resolve)
    process.umask(umask)
  })
  chmodSync(path, 0o600)
  const own = identityOf(path)
  return {
    async close () {
      lock.release()
      for (const socket of sockets) socket.end()
      // Node unlinks the path on close; a file that is no longer ours (a server started after we lost it) must stay.
      if (identityOf(path) !== own) {
        server.unref()
        return
      }
      await new Promise<void>((resolve) => {
        setTimeout(() => { for (const socket of sockets) socket.destroy() }, LAST_ANSWER_MS).unref()
        server.close(() => resolve())
      })
    }
  }
}

/**
 * Removes what a dead server left. Two that start at the same moment both find it dead: the slower one must not remove
 * what the faster has put in its place meanwhile, so it looks once more, and at a fresh one once again. Anything that
 * is no socket was put there by somebody else, and is left to them.
 * @throws ConfigError naming DATA_DIR when a live server owns it, or that cannot be told.
 */
async function removeStale (path: string): Promise<void> {
  for (let found = identityOf(path); found !== null; found = identityOf(path)) {
    requireSocket(path)
    await requireDead(path)
    if (identityOf(path) !== found) continue
    try {
      // Not rmSync, whose error of a read-only file system has no code.
      unlinkSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return
  }
}

/** Which file it is: inode numbers alone are given out again at once. Null when there is none. */
function identityOf (path: string): string | null {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.ino}:${stat.ctimeNs}`
}

function answer (socket: Socket, verbs: Pick<ControlVerbs, 'run'>): void {
  let text = ''
  let isAsked = false
  const write = (reply: ControlReply): void => { if (socket.writable) socket.write(JSON.stringify(reply) + '\n') }
  socket.setEncoding('utf8').setTimeout(REQUEST_TIMEOUT_MS, () => { if (!isAsked) socket.destroy() })
  socket.on('data', (chunk: string) => {
    if (isAsked) return
    text += chunk
    const end = text.indexOf('\n')
    if (end < 0) {
      if (text.length > REQUEST_BYTES_MAX) socket.destroy()
      return
    }
    isAsked = true
    const request = parseRequest(text.slice(0, end))
    if (request === null) {
      write({
        ok: false,
        error: { code: 'NEKO_ERR_INPUT_INVALID', message: 'Expected one JSON line {"verb", "args"}' }
      })
      socket.end()
      return
    }
    verbs.run(request.verb, request.args, (progress) => write({ progress })).then((reply) => {
      write(reply)
      socket.end()
    }, () => socket.destroy())
  })
}

function parseRequest (line: string): { verb: string, args: Json } | null {
  try {
    const { verb, args } = JSON.parse(line) as { verb?: unknown, args?: Json }
    return typeof verb === 'string' ? { verb, args: args ?? null } : null
  } catch {
    return null
  }
}

/** @throws ConfigError */
function requireSocket (path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined || found.isSocket()) return
  const kind = found.isDirectory() ? 'a directory' : found.isSymbolicLink() ? 'a symbolic link' : 'another file'
  throw new ConfigError('DATA_DIR', `holds ${kind} as neko.sock, where the control socket goes: move it away`)
}

/**
 * Only a refused connection says that nobody listens: one that may not be opened, or finds the queue of a server full
 * that is stopped for a while, says nothing of the kind.
 * @throws ConfigError
 */
function requireDead (path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createConnection(path)
    probe.once('connect', () => {
      probe.destroy()
      reject(new ConfigError('DATA_DIR', OWNED))
    })
    probe.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve()
      else if (code === 'EAGAIN') reject(new ConfigError('DATA_DIR', 'is owned by another server that does not answer'))
      else reject(new ConfigError('DATA_DIR', `holds a neko.sock that may be another user's server (${code})`))
    })
  })
}
