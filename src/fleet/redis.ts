import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { Logger } from '../telemetry/logger.ts'
import { newProcessId } from '../std/id.ts'
import { createAwakeTime } from '../std/awake.ts'
import type { Clock } from '../std/clock.ts'
import type { FleetBridge, FleetHub } from './hub.ts'
import { FLEET_MESSAGE_BYTES_MAX } from './envelope.ts'
import type { Envelope } from './envelope.ts'

/**
 * Joins the hubs of several hosts by one Redis channel. One connection to publish and one to listen per host, not per
 * process: the primary's hub spreads what arrives. Redis being away costs messages (at most once, as everywhere in the
 * fleet) and never a wait: nothing is queued while it is down, and nobody awaits a publish.
 */
export interface RedisBridgeOptions {
  url: string
  /** Fleets that share a Redis but not a database must not hear each other. */
  database: string
  hub: FleetHub
  clock: Clock
  log: Pick<Logger, 'error' | 'warn' | 'info'>
  /** How often this host says that it lives, ms. */
  presenceMs?: number
}

const PRESENCE_MS = 2000
/** A host that was silent this many presences is gone. */
const SILENT_PRESENCES_MAX = 4
/** Presences in a row that Redis did not take in time before it counts as away: one may be a busy moment of our own. */
const MISSED_PRESENCES_MAX = 2
const HOSTS_MAX = 256
/** Envelope around a message: ids, topic. */
const ENVELOPE_BYTES = 1024
const RECONNECT_MS_MAX = 2000
/** Bytes on their way to a Redis that does not read (stalled, still connected): more are dropped. */
const OUT_BYTES_MAX = 1_048_576

export function createRedisBridge (options: RedisBridgeOptions): FleetBridge {
  const { hub, clock, log } = options
  const hostId = newProcessId()
  const channel = `neko:fleet:${options.database}`
  const presenceMs = options.presenceMs ?? PRESENCE_MS
  const hosts = new Map<string, { processes: string[], seenMs: number }>()
  // The silence of a pause of this host is nobody else's.
  const awake = createAwakeTime({ clock, lookMs: presenceMs })
  const out = connect(options.url, { enableOfflineQueue: false })
  // The listener resubscribes by itself after a reconnect (ioredis autoResubscribe).
  const listener = connect(options.url, { autoResubscribe: true })
  // Not known yet, so that also a Redis that is away from the start gets its line.
  let isUp: boolean | null = null
  let missed = 0
  let isListening = false
  let closed = false

  /**
   * Up means that Redis took our last presence and that we listen: sockets alone say nothing of a Redis that
   * stalls or refuses. One line per change of state: a Redis that is away for an hour must not write a line
   * per attempt.
   */
  const note = (up: boolean, error?: unknown): void => {
    if (up === isUp || closed) return
    isUp = up
    if (up) log.info({ channel }, 'the fleet hears other hosts through Redis')
    else {
      log.warn(
        { err: error instanceof Error ? error.message : undefined },
        'Redis is away: this host hears no other until it returns'
      )
    }
  }
  for (const redis of [out, listener]) {
    redis.on('error', (error) => note(false, error))
    redis.on('close', () => note(false))
    redis.on('ready', () => announce())
  }

  const send = (envelope: Envelope): void => {
    const text = JSON.stringify({ host: hostId, envelope })
    if (Buffer.byteLength(text) > FLEET_MESSAGE_BYTES_MAX + ENVELOPE_BYTES) {
      log.error({ kind: envelope.kind }, 'a fleet message over 64 KiB was refused')
      return
    }
    if (out.status === 'ready' && outBytes(out) < OUT_BYTES_MAX) {
      out.publish(channel, text).catch(() => { /* at most once: the next presence says that Redis is away */ })
    }
  }

  const forget = (): void => {
    awake.look()
    if (isUp !== true) return
    for (const [id, host] of hosts) {
      if (awake.ms() - host.seenMs > presenceMs * SILENT_PRESENCES_MAX) hosts.delete(id)
    }
  }
  const sayPresence = async (processes: string[]): Promise<void> => {
    await out.publish(
      channel,
      JSON.stringify({ host: hostId, envelope: { kind: 'presence', processes, from: hostId } })
    )
  }
  const announce = (): void => {
    forget()
    if (closed || out.status !== 'ready' || listener.status !== 'ready') return
    const subscribed = isListening ? Promise.resolve() : listener.subscribe(channel).then(() => { isListening = true })
    subscribed.then(() => sayPresence(hub.members())).then(() => {
      // Silence while the bridge was down proves nothing about the others: their time starts anew.
      if (isUp !== true) for (const host of hosts.values()) host.seenMs = awake.ms()
      missed = 0
      note(true)
    }).catch((error) => { if (++missed >= MISSED_PRESENCES_MAX) note(false, error) })
  }
  // Subscribed by ioredis itself after a reconnect; asked for again all the same, since that may have been refused.
  listener.on('close', () => { isListening = false })
  // On real time, as Redis and the other hosts are.
  const timer = setInterval(announce, presenceMs)
  timer.unref()

  listener.on('message', (_channel: string, text: string) => {
    const parsed = parseBridged(text)
    if (parsed === null || parsed.host === hostId) return
    if (parsed.envelope.kind !== 'presence') return hub.fromBridge(parsed.envelope)
    const isNew = !hosts.has(parsed.host)
    if (isNew && hosts.size >= HOSTS_MAX) return
    if (parsed.envelope.processes.length === 0) hosts.delete(parsed.host)
    else hosts.set(parsed.host, { processes: parsed.envelope.processes, seenMs: awake.ms() })
    // A newcomer learns of us at once instead of at our next presence.
    if (isNew) announce()
  })

  return {
    hostId,
    send,
    isUp: () => isUp === true,
    hosts: () => new Map([...hosts].map(([id, host]) => [id, host.processes])),
    async close () {
      closed = true
      clearInterval(timer)
      if (out.status === 'ready') await sayPresence([]).catch(() => { /* then they forget us by silence */ })
      out.disconnect()
      listener.disconnect()
    }
  }
}

function connect (url: string, more: RedisOptions): Redis {
  return new Redis(url, {
    connectTimeout: 300,
    commandTimeout: 100,
    maxRetriesPerRequest: 1,
    retryStrategy: (attempt) =>
      Math.round(Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(attempt, 10)) * (0.8 + Math.random() * 0.4)),
    ...more
  })
}

/** ioredis does not say in its types that the connection's stream is there. */
function outBytes (redis: Redis): number {
  return (redis as unknown as { stream?: { writableLength?: number } }).stream?.writableLength ?? 0
}

/** Messages on the channel may come from any version of ours, or from a stranger with access to Redis. */
function parseBridged (text: string): { host: string, envelope: Envelope } | null {
  if (text.length > FLEET_MESSAGE_BYTES_MAX + ENVELOPE_BYTES) return null
  try {
    const { host, envelope } = JSON.parse(text) as {
      host?: unknown,
      envelope?: { kind?: unknown, from?: unknown, processes?: unknown }
    }
    if (typeof host !== 'string' || typeof envelope?.kind !== 'string' || typeof envelope.from !== 'string') return null
    if (envelope.kind === 'presence' && !isProcessList(envelope.processes)) return null
    return { host, envelope: envelope as Envelope }
  } catch {
    return null
  }
}

function isProcessList (value: unknown): boolean {
  return Array.isArray(value) && value.length <= 256 && value.every((id) => typeof id === 'string' && id.length <= 64)
}
