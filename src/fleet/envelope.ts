import type { Json } from '../std/json.ts'

/**
 * One message of the fleet on its way. `publish` goes to all others or, without leaving the host, to one,
 * `ask` to all others or to one, `answer` back to the asker, `end` says that nobody else will answer,
 * `presence` is one host telling the others that it lives.
 */
export type Envelope =
  | { kind: 'publish', topic: string, message: Json, from: string, to?: string }
  | {
    kind: 'ask',
    id: string,
    topic: string,
    message: Json,
    from: string,
    to: string | null,
    timeoutMs: number,
    waitFor?: 'host'
  }
  | { kind: 'answer', id: string, message: Json, from: string, to: string }
  | { kind: 'end', id: string, from: string, to: string }
  | { kind: 'presence', processes: string[], from: string }

/** A message of the fleet as JSON is at most this large: what is bigger belongs in the store. */
export const FLEET_MESSAGE_BYTES_MAX = 64 * 1024
