/** From a request that others saw to an Observation: `POST /v1/assess` and the mutation `assess`. */
import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import { addressKey, canonicalAddress } from '../../std/ip.ts'
import type { AssessRequest } from '../../receipts/shapes.ts'
import type { Observation } from '../../detect/shapes.ts'

export const REQUESTS_MAX = 100

/** An observation without history, and the canonical address when one was given. */
export interface ExternalRequest { observation: Observation, address: string | null }

/** @throws NEKO_ERR_INPUT_INVALID naming the request by its place in the list. */
export function readRequest (
  request: AssessRequest,
  { id, at, index }: { id: string, at: number, index: number }
): ExternalRequest {
  const address = readAddress(request.ip ?? null, index)
  return {
    address,
    observation: {
      id,
      at,
      client: address === null ? 'ip:unknown' : `ip:${addressKey(address)}`,
      method: request.method,
      url: request.url,
      headers: readHeaders(request.headers ?? null),
      body: readBody(request, index),
      route: null,
      history: null
    }
  }
}

function readAddress (ip: string | null, index: number): string | null {
  if (ip === null) return null
  const address = canonicalAddress(ip)
  if (address === null) throw new NEKO_ERR_INPUT_INVALID(`requests[${index}].ip must be an IP address`)
  return address
}

/** Order and repeats count; of an object's values lists are repeats. */
function readHeaders (headers: AssessRequest['headers']): string[] {
  const flat: string[] = []
  if (headers === null || headers === undefined) return flat
  if (Array.isArray(headers)) {
    for (const one of headers) {
      flat.push(...(Array.isArray(one) ? [String(one[0]), String(one[1])] : [one.name, one.value]))
    }
    return flat
  }
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) flat.push(name, String(one))
  }
  return flat
}

function readBody (request: AssessRequest, index: number): Uint8Array | null {
  const text = request.body ?? null
  const base64 = request.body_b64 ?? request.bodyBase64 ?? null
  if (text !== null && base64 !== null) {
    throw new NEKO_ERR_INPUT_INVALID(`requests[${index}] may have one body, as text or as base64`)
  }
  if (text !== null) return new TextEncoder().encode(text)
  if (base64 === null) return null
  if (!/^[A-Za-z0-9+/_-]*={0,2}\s*$/.test(base64)) {
    throw new NEKO_ERR_INPUT_INVALID(`requests[${index}]: the body is no base64`)
  }
  return new Uint8Array(Buffer.from(base64, 'base64'))
}
