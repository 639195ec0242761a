/** From a request that others saw to what the walk begins with. */
import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import { canonicalAddress } from '../../std/ip.ts'
import { NO_ROUTE, type Arrival } from '../../transaction/transaction.ts'

/** Over HTTP headers are an object or pairs, over GraphQL items of name and value. */
export interface AssessRequest {
  method: string
  url: string
  headers?: { [name: string]: string | string[] } | Array<[string, string] | { name: string, value: string }> | null
  body?: string | null
  body_b64?: string | null
  bodyBase64?: string | null
  ip?: string | null
}

/** A sample as the walk takes it. */
export interface Sample { arrival: Arrival, body: Uint8Array | null }

/** @throws NEKO_ERR_INPUT_INVALID naming the request by its place in the list. */
export function readSample (
  request: AssessRequest,
  { index, acts, submitter }: { index: number, acts: boolean, submitter: string }
): Sample {
  return {
    arrival: {
      door: 'assess',
      authority: 'sample',
      acts,
      address: readAddress(request.ip ?? null, index),
      neverBlockApplies: true,
      unnamedProxy: null,
      method: request.method,
      target: request.url,
      headers: readHeaders(request.headers ?? null),
      route: NO_ROUTE,
      shown: null,
      submitter,
      holder: null
    },
    body: readBody(request, index)
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
