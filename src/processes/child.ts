import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import { afterAwakeMs } from '../std/awake.ts'
import type { AwakeTime } from '../std/awake.ts'
import type { Json } from '../std/json.ts'
import type { Balance } from './balance.ts'
import type { Envelope } from '../fleet/envelope.ts'
import { EARLY_GRACE_MS } from './orders.ts'
import type { ControlReply, MetricSeries, ToPrimary, ToWorker } from './messages.ts'
import type { ProcessStatus } from './status.ts'

/** One worker process as its primary sees it: what it said last, and how to speak to it. Decides nothing. */
export interface Child {
  readonly slot: number
  readonly pid: number
  readonly processId: string | null
  readonly state: ProcessStatus['state']
  /** How long it has been ready, ms; null when it never was. */
  readyForMs (): number | null
  sinceStartMs (): number
  /** Time since anything was heard of it in which the primary would have heard it, ms. */
  silentMs (): number
  readonly beat: Extract<ToPrimary, { neko: 'beat' }> | null
  readonly series: MetricSeries[]
  /** The URL it serves; rejects when it ends first. */
  readonly ready: Promise<string>
  readonly ended: Promise<{ code: number | null, signal: string | null }>
  deliver (envelope: Envelope): void
  tellCount (processCount: number, bridgeUp: boolean | null): void
  /** Its figures, fresh when it answers within the time, else the last ones. */
  metrics (timeoutMs: number): Promise<MetricSeries[]>
  control (verb: string, args: Json, progress: (message: Json) => void): Promise<ControlReply>
  /** Asks it to drain; it is killed when it does not end in time, or soon when it never served. Resolves at its end. */
  drain (timeoutMs: number): Promise<void>
  kill (): void
}

interface ChildOptions {
  slot: number
  balance: Balance
  /** Of the primary. */
  awake: AwakeTime
  init: (processId: string) => Extract<ToWorker, { neko: 'init' }>
  onFleet: (envelope: Envelope) => void
}

/** Messages of the fleet on their way to one worker that does not read: then they are dropped, as the fleet allows. */
const FLEET_BACKLOG_MAX = 10_000
/** A worker whose beats stopped for this long is shown as stalled (within 1 s). */
const STALLED_MS = 750

export function forkChild (options: ChildOptions): Child {
  const { awake, balance } = options
  const worker: Worker = cluster.fork()
  const startMs = performance.now()
  const ready = Promise.withResolvers<string>()
  const ended = Promise.withResolvers<{ code: number | null, signal: string | null }>()
  const metricsWaiting = new Set<(series: MetricSeries[]) => void>()
  const controls = new Map<number, { progress: (message: Json) => void, resolve: (reply: ControlReply) => void }>()
  ready.promise.catch(() => { /* its readers hear it */ })
  let processId: string | null = null
  let readyMs: number | null = null
  let heardMs = awake.ms()
  let beat: Child['beat'] = null
  let series: MetricSeries[] = []
  let hasListened = false
  let isDraining = false
  let backlog = 0
  let asked = 0

  const kill = (): void => { worker.process.kill('SIGKILL') }
  const silentMs = (): number => awake.ms() - heardMs
  balance.watch(worker, () => readyMs !== null && silentMs() > STALLED_MS)

  const send = (message: ToWorker, done: () => void = () => {}): void => {
    if (worker.isConnected()) worker.process.send(message, undefined, undefined, done)
    else done()
  }

  worker.on('message', (message: ToPrimary) => {
    heardMs = awake.ms()
    if (message?.neko === 'hello') {
      processId = message.processId
      send(options.init(processId))
    } else if (message?.neko === 'ready') {
      readyMs = performance.now()
      ready.resolve(message.url)
    } else if (message?.neko === 'beat') {
      beat = message
      balance.setConnections(worker, message.connections)
    } else if (message?.neko === 'fleet') options.onFleet(message.envelope)
    else if (message?.neko === 'metrics') {
      series = message.series
      for (const resolve of metricsWaiting) resolve(series)
      metricsWaiting.clear()
    } else if (message?.neko === 'control') {
      const control = controls.get(message.id)
      if ('progress' in message.reply) control?.progress(message.reply.progress)
      else control?.resolve(message.reply)
    }
  })
  worker.once('listening', () => { hasListened = true })
  worker.on('error', () => { /* a channel that closes under a message: 'exit' follows */ })
  worker.once('exit', (code, signal) => {
    ready.reject(new Error(`the worker ended before it was ready (${signal ?? `exit ${code}`})`))
    for (const resolve of metricsWaiting) resolve(series)
    for (const control of controls.values()) {
      control.resolve({
        ok: false,
        error: { code: 'NEKO_ERR_INTERNAL', message: 'The process ended before it answered' }
      })
    }
    ended.resolve({ code, signal })
  })

  return {
    slot: options.slot,
    pid: worker.process.pid ?? 0,
    get processId () { return processId },
    get state () {
      if (isDraining) return 'draining'
      if (readyMs === null) return 'starting'
      return silentMs() > STALLED_MS ? 'stalled' : 'ready'
    },
    get beat () { return beat },
    get series () { return series },
    readyForMs: () => readyMs === null ? null : performance.now() - readyMs,
    sinceStartMs: () => performance.now() - startMs,
    silentMs,
    ready: ready.promise,
    ended: ended.promise,
    deliver (envelope) {
      if (backlog >= FLEET_BACKLOG_MAX) return
      backlog++
      send({ neko: 'fleet', envelope }, () => { backlog-- })
    },
    tellCount (processCount, bridgeUp) { send({ neko: 'count', processCount, bridgeUp }) },
    metrics (timeoutMs) {
      if (readyMs === null || !worker.isConnected()) return Promise.resolve(series)
      return new Promise((resolve) => {
        const finish = (): void => {
          clearTimeout(timer)
          metricsWaiting.delete(finish)
          resolve(series)
        }
        const timer = setTimeout(finish, timeoutMs)
        metricsWaiting.add(finish)
        send({ neko: 'metrics', id: ++asked })
      })
    },
    control (verb, args, progress) {
      const id = ++asked
      return new Promise<ControlReply>((resolve) => {
        controls.set(id, { progress, resolve })
        send({ neko: 'control', id, verb, args })
      }).finally(() => controls.delete(id))
    },
    async drain (timeoutMs) {
      isDraining = true
      send({ neko: 'drain' })
      const cancels = [
        afterAwakeMs(timeoutMs, kill),
        // One that was still starting has served nobody, and what it had begun the next start takes in.
        afterAwakeMs(EARLY_GRACE_MS, () => { if (!hasListened) kill() })
      ]
      await ended.promise
      for (const cancel of cancels) cancel()
    },
    kill
  }
}

/** The child as `neko status` shows it. */
export function statusOf (child: Child, restarts: number): ProcessStatus {
  return {
    slot: child.slot,
    processId: child.processId,
    pid: child.pid,
    state: child.state,
    uptimeSeconds: Math.round(child.sinceStartMs() / 1000),
    rssBytes: child.beat?.rssBytes ?? 0,
    heapUsedBytes: child.beat?.heapUsedBytes ?? 0,
    utilization: Math.round((child.beat?.utilization ?? 0) * 1000) / 1000,
    restarts
  }
}
