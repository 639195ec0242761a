import { anyOf, sequence } from '../../std/regex.ts'
import { wordSet } from '../../std/words.ts'
import type { Observation } from '../shapes.ts'
import { inspectBody } from './body.ts'
import {
  PARTS_MAX,
  PATH_SEGMENTS_MAX,
  REMEMBERED_TARGET_CHARACTERS_MAX,
  SCANNED_PATH_CHARACTERS_MAX
} from './bounds.ts'
import { decodePercent } from './decode.ts'
import { inspectForm } from './form.ts'
import { createInspection, inspectName, inspectValue, leaveOut, placeOf } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import type { PlaceKind } from './findings.ts'

/** Headers whose values are protocol, not data: their own factor judges them. */
const STRUCTURAL = wordSet(`
  accept accept-encoding accept-charset accept-ranges connection content-length host date if-modified-since
  if-unmodified-since if-none-match if-match if-range range te trailer transfer-encoding upgrade
  upgrade-insecure-requests cache-control pragma dnt authorization proxy-authorization expect max-forwards
  keep-alive content-encoding sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-ch-ua-full-version-list
  sec-ch-ua-arch sec-ch-ua-bitness sec-ch-ua-model sec-ch-ua-platform-version sec-fetch-site sec-fetch-mode
  sec-fetch-dest sec-fetch-user sec-gpc sec-websocket-key sec-websocket-version sec-websocket-extensions
  priority x-api-key accept-language traceparent tracestate x-request-id origin x-csrf-token x-xsrf-token
  x-requested-with content-disposition
`)

/** Headers that gateways add: an address says nothing about the request; any other value in them is inspected. */
const ADDRESSES = wordSet(`
  x-forwarded-for x-real-ip x-client-ip true-client-ip cf-connecting-ip x-cluster-client-ip
`)
const ADDRESS_LIST = /^[\da-f.:,\s[\]]*$/i

interface Head { contentType: string, encoding: string }

/** Takes one request apart into places and values and judges each. */
export function inspectRequest (observation: Observation): Inspection {
  const inspection = createInspection(observation.route !== null)
  const graphqlRoute = /graphql|\/gql\b/i.test(
    observation.url.length > 256 ? observation.url.slice(0, 256) : observation.url
  )
  if (graphqlRoute && observation.url.includes('__')) inspection.navigates = isNavigation(observation.headers)
  if (observation.url.length > REMEMBERED_TARGET_CHARACTERS_MAX) {
    leaveOut(inspection, `history: target beyond ${REMEMBERED_TARGET_CHARACTERS_MAX} characters`)
  }
  inspectUrl(inspection, observation.url, graphqlRoute)
  const head = inspectHeaders(inspection, observation.headers)
  if (observation.body !== null) {
    inspectBody(inspection, observation.body, head.contentType, head.encoding, graphqlRoute)
  }
  return inspection
}

/** Browsers ask for pages with `text/html` first; clients of GraphQL never do. */
function isNavigation (headers: string[]): boolean {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if ((headers[at] as string).length === 6 && (headers[at] as string).toLowerCase() === 'accept') {
      return (headers[at + 1] as string).startsWith('text/html')
    }
  }
  return false
}

const PLAIN_PATH = /^[\w/.-]*$/

function inspectUrl (inspection: Inspection, url: string, graphqlRoute: boolean): void {
  const question = url.indexOf('?')
  const path = question === -1 ? url : url.slice(0, question)
  inspectPath(inspection, path)
  if (question !== -1) inspectForm(inspection, url.slice(question + 1), 'query', 'query', graphqlRoute)
}

const TELLING_NAME = anyOf([
  /\/(?:etc|proc|sys|dev|var|usr|bin|tmp|web-inf)\//,
  sequence([
    /\./,
    [
      /bak|old|swp|ini|conf|sql|log|php\d?|inc|orig|save|tmp|r?db|mdb|sqlite3?|dump|pem|key|pfx|p12|jks|kdbx/,
      /ovpn|config|cfg|asa|mdf|ldf|csproj|backup/
    ],
    /(?:$|\.)/
  ]),
  /rO0AB|~|\.\w+\./
], 'i')

function inspectPath (inspection: Inspection, raw: string): void {
  if (raw.length < 4) return
  if (raw.length > SCANNED_PATH_CHARACTERS_MAX) {
    leaveOut(inspection, `path: names beyond ${SCANNED_PATH_CHARACTERS_MAX} characters`)
  }
  if (PLAIN_PATH.test(raw) && !raw.includes('/.') && !raw.includes('..') && !raw.includes('//') && raw.length < 256) {
    // Plain segments: only names of files and of system folders are left to look at.
    if (!TELLING_NAME.test(raw)) return
  }
  const path = decodePercent(raw, false)
  inspectValue(inspection, 'path', 'path', path, '', 1)
  if (!/["'`<>()|;${]/.test(path)) return
  const segments = path.split('/', PATH_SEGMENTS_MAX + 1)
  if (segments.length > PATH_SEGMENTS_MAX && segments.pop() !== undefined) {
    leaveOut(inspection, `path: segments beyond the ${PATH_SEGMENTS_MAX}th, one by one`)
  }
  for (const segment of segments) {
    if (segment.length > 3 && /["'`<>()|;${=]/.test(segment)) {
      inspectValue(inspection, 'query', 'path', segment, '', 1)
    }
  }
}

function inspectHeaders (inspection: Inspection, headers: string[]): Head {
  const head: Head = { contentType: '', encoding: '' }
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (at >= PARTS_MAX) {
      leaveOut(inspection, `headers beyond the ${PARTS_MAX / 2}th`)
      break
    }
    const name = (headers[at] as string).toLowerCase()
    const value = headers[at + 1] as string
    if (name === 'content-type') head.contentType = value
    else if (name === 'content-encoding') head.encoding = value.trim().toLowerCase()
    if (ADDRESSES.has(name) && ADDRESS_LIST.test(value)) continue
    if (!STRUCTURAL.has(name)) inspectHeader(inspection, name, value)
    else if (SUSPECT_IN_STRUCTURAL.test(value)) inspectValue(inspection, 'header', `header.${name}`, value, name, 1)
  }
  return head
}

/** Even structural headers carry payloads; these characters are never theirs. */
const SUSPECT_IN_STRUCTURAL = /[<>`{}\\\r\n\0]|\$\(|\.\.\/|'/

function inspectHeader (inspection: Inspection, name: string, value: string): void {
  const place = `header.${name.slice(0, 40)}`
  if (name === 'cookie') inspectCookie(inspection, value)
  else if (name === 'user-agent') {
    inspectValue(inspection, /^[\w .()-]{1,60}\/v?\d/.test(value) ? 'agent' : 'header', place, value, name, 2)
  } else if (name === 'referer') inspectReferer(inspection, value)
  else if (name === 'content-type') {
    if (!/^[\w/+.;= "'()?:,-]*$/.test(value) || /%\{/.test(value)) {
      inspectValue(inspection, 'header', place, value, name, 2)
    }
  } else {
    inspectValue(inspection, 'header', place, decodePercent(value, false), name, 0)
    if (/^x[-_.](?:original[-_.])?file[-_.]?name$/.test(name)) {
      inspectValue(inspection, 'filename', place, value, name, 2)
    }
  }
}

function inspectReferer (inspection: Inspection, value: string): void {
  const question = value.indexOf('?')
  const path = question === -1 ? value : value.slice(0, question)
  if (!/^https?:\/\/[\w.:/%~@,+!=()*-]*#?[\w/%-]*$/i.test(path) || /\.\.|%00/.test(path)) {
    inspectValue(inspection, 'referer', 'header.referer', decodePercent(path, false), 'referer', 2)
  }
  if (question !== -1) inspectForm(inspection, value.slice(question + 1), 'referer', 'header.referer', false)
}

function inspectCookie (inspection: Inspection, value: string): void {
  const pairs = value.split(';', PARTS_MAX + 1)
  if (pairs.length > PARTS_MAX && pairs.pop() !== undefined) {
    leaveOut(inspection, `cookie: pairs beyond the ${PARTS_MAX}th`)
  }
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    const name = (equals === -1 ? pair : pair.slice(0, equals)).trim()
    const kind: PlaceKind = 'cookie'
    const place = placeOf('cookie', name)
    if (name.length > 3) inspectName(inspection, kind, place, decodePercent(name, false))
    if (equals !== -1) {
      inspectValue(
        inspection,
        kind,
        place,
        decodePercent(pair.slice(equals + 1), false),
        name.toLowerCase(),
        0
      )
    }
  }
}
