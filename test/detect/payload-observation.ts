import { inspectPayload } from '../../src/detect/factors/payload.ts'
import type { PayloadFinding } from '../../src/detect/factors/payload.ts'
import type { Observation } from '../../src/detect/shapes.ts'

export interface RequestParts {
  method?: string
  url?: string
  headers?: string[]
  body?: string | Uint8Array | null
}

/** An observation with everything ordinary but the parts given. */
export function observe (parts: RequestParts): Observation {
  const body = typeof parts.body === 'string' ? Buffer.from(parts.body) : parts.body ?? null
  return { id: 'as_test', at: 0, client: 'ip:192.0.2.1', method: parts.method ?? (body === null ? 'GET' : 'POST'), url: parts.url ?? '/items', headers: parts.headers ?? [], body, route: null, history: null }
}

export function inspect (parts: RequestParts, sensitivity: 1 | 2 | 3 | 4 = 2): PayloadFinding {
  return inspectPayload(observe(parts), { sensitivity })
}

/** The value in a query parameter, as a browser encodes it. */
export function inQuery (value: string): PayloadFinding {
  return inspect({ url: '/items?q=' + encodeURIComponent(value) })
}

export function inJson (value: unknown): PayloadFinding {
  return inspect({ headers: ['content-type', 'application/json'], body: JSON.stringify(value) })
}

export function inForm (value: string): PayloadFinding {
  return inspect({ headers: ['content-type', 'application/x-www-form-urlencoded'], body: 'comment=' + encodeURIComponent(value) })
}

/** Attacks of a family, each beside ordinary text that shares its words and letters. */
export type Variants = Record<string, Array<[attack: string, ordinary: string]>>
