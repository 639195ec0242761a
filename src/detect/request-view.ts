/**
 * One reading of an observation's request line and headers, shared by the factors so that nothing is split twice.
 * Pure; never decodes values (that is the payload factor's work).
 */
import type { Observation } from './shapes.ts'

export interface RequestView {
  method: string
  /** The target before `?`, as on the wire. */
  path: string
  /** The target after `?`, as on the wire, without the mark; empty when there is none. */
  query: string
  /** Header names in lower case, in wire order. */
  names: string[]
  /** Header values, beside the names. */
  values: string[]
  /** The agent's own name; null when the header is absent. */
  agent: string | null
  bodyBytes: number
}

/** Never throws; at most HEADERS_MAX headers are looked at, as many as the server lets through. */
export function viewRequest (observation: Observation): RequestView {
  const { headers, url } = observation
  const names: string[] = []
  const values: string[] = []
  let agent: string | null = null
  const end = Math.min(headers.length - 1, HEADERS_MAX * 2)
  for (let i = 0; i < end; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    const value = headers[i + 1] as string
    names.push(name)
    values.push(value)
    if (agent === null && name === 'user-agent') agent = value
  }
  const mark = url.indexOf('?')
  return {
    method: observation.method,
    path: mark === -1 ? url : url.slice(0, mark),
    query: mark === -1 ? '' : url.slice(mark + 1),
    names,
    values,
    agent,
    bodyBytes: observation.body === null ? 0 : observation.body.length
  }
}

/** Node's parser refuses more than 2,000; an assessment of others' requests may bring any number. */
const HEADERS_MAX = 256

/** The value of a header (lower-case name), or null. */
export function headerOf (view: RequestView, name: string): string | null {
  const at = view.names.indexOf(name)
  return at === -1 ? null : view.values[at] as string
}
