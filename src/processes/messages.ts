import type { Config } from '../config/config.ts'
import type { Envelope } from '../fleet/envelope.ts'
import type { Json } from '../std/json.ts'

/**
 * Messages between the primary and its workers. All of ours carry `neko`, so that Node's own cluster messages
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
