import type { Json } from '../std/json.ts'

/**
 * The fleet: how one process reaches the others, whatever carries the message (nothing at WORKERS=1, the primary's
 * IPC on one host, Redis pub/sub between hosts). Delivery is at most once and unordered between senders: what must
 * not be lost lives in the store, and the message only says that it changed.
 */
export interface Fleet {
  /** This process, 12 characters, new at each start. */
  readonly processId: string
  /** Slot of this process, 0 to WORKERS-1; kept over restarts of the slot. */
  readonly slot: number
  /** The primary of this host, which answers questions too and outlives every worker; null at WORKERS=1. */
  readonly primaryId: string | null
  /** When the primary last showed that it runs, monotonic ms; absent where there is none to hear. */
  primaryHeardMs? (): number
  /** Processes that serve now, this one included; at least 1. */
  processCount (): number
  /** Whether other hosts are heard through Redis now; null without REDIS_URL. At most a second old. */
  bridgeUp (): boolean | null
  /**
   * To every OTHER process of the fleet, or to one of this host; the sender applies its own change itself. At most
   * 64 KiB as JSON. Between two processes of one host messages arrive in the order in which they were sent.
   */
  publish (topic: string, message: Json, options?: { processId: string }): void
  /** Several handlers per topic; a handler that throws is logged and the others still run. Returns the unsubscribe. */
  subscribe (topic: string, handler: (message: Json, fromProcessId: string) => void): () => void
  /**
   * Asks every other process (or one) and collects what answers in time, at most 64 answers; never rejects for a
   * silent sibling. Processes without an answerer for the topic, and answers of `null`, are left out. With `waitFor`
   * all are asked, and only those of this host are waited for: a distant host costs the asker nothing.
   */
  ask (
    topic: string,
    message: Json,
    options: { timeoutMs: number, processId?: string, waitFor?: 'host' }
  ): Promise<Json[]>
  /** One answerer per topic. */
  answer (topic: string, handler: (message: Json) => Json | null | Promise<Json | null>): void
  close (): Promise<void>
}
