import type { Config } from '../config/config.ts'
import type { Json } from '../std/json.ts'

/**
 * What primary and workers say to each other. All of ours carry `neko`, so that Node's own cluster messages
 * pass by.
 */
export type ToWorker =
  | {
    neko: 'init',
    slot: number,
    primaryId: string,
    config: Config,
    prepared: Json,
    processCount: number,
    bridgeUp: boolean | null
  }
  | { neko: 'drain' }
  | { neko: 'fleet', envelope: Envelope }
  | { neko: 'count', processCount: number, bridgeUp: boolean | null }
  | { neko: 'metrics', id: number }
  | { neko: 'control', id: number, verb: string, args: Json }

export type ToPrimary =
  | { neko: 'hello', processId: string }
  | { neko: 'ready', url: string }
  | {
    neko: 'beat',
    rssBytes: number,
    heapUsedBytes: number,
    heapMaxBytes: number,
    utilization: number,
    lagMs: number,
    connections: number
  }
  | { neko: 'fleet', envelope: Envelope }
  | { neko: 'metrics', id: number, series: MetricSeries[] }
  | { neko: 'control', id: number, reply: ControlReply }

/**
 * One message of the fleet on its way. `publish` goes to all others or, without leaving the host, to one,
 * `ask` to all others or to one, `answer` back to who asked, `end` says that nobody else will answer,
 * `presence` is one host telling the others that it lives.
 */
export type Envelope =
  | { kind: 'publish', topic: string, message: Json, from: string, to?: string }
  | { kind: 'ask', id: string, topic: string, message: Json, from: string, to: string | null, timeoutMs: number }
  | { kind: 'answer', id: string, message: Json, from: string, to: string }
  | { kind: 'end', id: string, from: string, to: string }
  | { kind: 'presence', processes: string[], from: string }

/** prom-client's own JSON of one metric. */
export interface MetricSeries {
  name: string
  type: string
  help: string
  aggregator: string
  values: Array<{ value: number, metricName?: string, labels: Record<string, string | number> }>
}

export type ControlReply =
  | { progress: Json }
  | { ok: true, result: Json }
  | { ok: false, error: { code: string, message: string } }

/** A message of the fleet as JSON is at most this large: what is bigger belongs in the store. */
export const FLEET_MESSAGE_BYTES_MAX = 64 * 1024
