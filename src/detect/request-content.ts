import { asBuffer } from './bytes.ts'
import { isAddressOnly } from './payload/address-headers.ts'
import type { Observation } from './shapes.ts'

/** Longer values are part of the content, whatever they hold. */
const ADDRESSES_MAX = 64

/**
 * Everything of an observation that the factors userAgent, endpoint, headers and payload may read, as one text: two
 * observations with the same content get the same results from them, whoever sent them and when. What says nothing but
 * addresses is left out, or every client behind a proxy would have a content of its own. Some 0.7 us.
 *
 * The lengths come first: headers of samples may hold line breaks, and only lengths keep two requests apart whatever
 * their parts hold.
 *
 * @param rules by which rules it was judged: contents under others are different ones
 */
export function contentOf ({ method, url, route, headers, body }: Observation, rules: string): string {
  let lengths = `${rules} ${method.length} ${url.length} ${route === null ? -1 : route.length} ${headers.length}`
  let text = method + url + (route ?? '')
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] ?? ''
    lengths += ` ${name.length} ${value.length}`
    text += name
    if (value.length > ADDRESSES_MAX || !isAddressOnly(name, value)) text += value
  }
  return body === null ? `${lengths} ${text}` : `${lengths} ${body.length} ${text}${asBuffer(body).toString('latin1')}`
}
