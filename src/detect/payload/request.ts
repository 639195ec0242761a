import { anyOf, repeated, sequence } from '../../std/regex.ts'
import type { Observation } from '../shapes.ts'
import { isAddressOnly } from './address-headers.ts'
import { ENCODED_CHARACTERS_MIN, RUN_CHARACTERS_MIN, mayBeShortBase64 } from './base64.ts'
import { inspectBody } from './body.ts'
import {
  FLAT,
  PARTS_MAX,
  PATH_SEGMENTS_MAX,
  REMEMBERED_TARGET_CHARACTERS_MAX,
  SCANNED_PATH_CHARACTERS_MAX
} from './bounds.ts'
import { decodePercent } from './decode.ts'
import { inspectForm } from './form.ts'
import { hasForm } from './header-forms.ts'
import {
  createInspection,
  inspectEncoded,
  inspectName,
  inspectValue,
  leaveBeyond,
  leaveOut,
  placeOf
} from './inspection.ts'
import type { Inspection } from './inspection.ts'
import type { PlaceKind } from './findings.ts'

interface Head { contentTypes: string[], encoding: string }

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
  if (!METHOD.test(observation.method)) inspectValue(inspection, 'header', 'method', observation.method, '', FLAT)
  inspectUrl(inspection, observation.url, graphqlRoute)
  const head = inspectHeaders(inspection, observation.headers)
  if (observation.body !== null) {
    inspection.part = 'body'
    inspectBody(inspection, observation.body, { ...head, graphqlRoute })
  }
  return inspection
}

const METHOD = /^[A-Za-z-]{0,32}$/

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
  if (raw.length > ENCODED_CHARACTERS_MIN) inspectSegments(inspection, decodePercent(raw, false))
  if (PLAIN_PATH.test(raw) && !raw.includes('/.') && !raw.includes('..') && !raw.includes('//') && raw.length < 256) {
    // Plain segments: only names of files and of system folders are left to look at.
    if (!TELLING_NAME.test(raw)) return
  }
  const path = decodePercent(raw, false)
  inspectValue(inspection, 'path', 'path', path, '', 1)
  if (!/["'`<>()|;${]/.test(path)) return
  const segments = path.split('/', PATH_SEGMENTS_MAX + 1)
  if (segments.length > PATH_SEGMENTS_MAX && segments.pop() !== undefined) {
    leaveBeyond(inspection, `path: segments beyond the ${PATH_SEGMENTS_MAX}th, one by one`)
  }
  for (const segment of segments) {
    if (segment.length > 3 && /["'`<>()|;${=]/.test(segment)) {
      inspectValue(inspection, 'query', 'path', segment, '', 1)
    }
  }
}

/** Base64 in a path: the whole, whose alphabet has a slash, and short segments one by one. */
function inspectSegments (inspection: Inspection, path: string): void {
  inspectEncoded(inspection, 'query', 'path', path, '', 1)
  let from = 0
  while (from < path.length) {
    let end = path.indexOf('/', from)
    if (end === -1) end = path.length
    // Longer ones are found in the path as a whole.
    if (end - from >= ENCODED_CHARACTERS_MIN && end - from < RUN_CHARACTERS_MIN) {
      const segment = path.slice(from, end)
      if (mayBeShortBase64(segment)) inspectEncoded(inspection, 'query', 'path', segment, '', 1)
    }
    from = end + 1
  }
}

function inspectHeaders (inspection: Inspection, headers: string[]): Head {
  const head: Head = { contentTypes: [], encoding: '' }
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (at >= PARTS_MAX) {
      leaveBeyond(inspection, `headers beyond the ${PARTS_MAX / 2}th`)
      break
    }
    const name = (headers[at] as string).toLowerCase()
    const value = headers[at + 1] as string
    if (name === 'content-type') head.contentTypes.push(value)
    else if (name === 'content-encoding') head.encoding = encodingOf(head.encoding, value)
    const isFormed = hasForm(name, value)
    if (isFormed === null) {
      if (!isAddressOnly(name, value)) inspectHeader(inspection, name, value)
    } else if (!isFormed) inspectOddForm(inspection, name, value)
  }
  return head
}

/** Of several encodings, any that is one: what it holds cannot be read. */
function encodingOf (known: string, value: string): string {
  const encoding = value.trim().toLowerCase()
  return known === '' || known === 'identity' ? encoding : known
}

/** A structural header that says something else than its grammar lets it say. */
function inspectOddForm (inspection: Inspection, name: string, value: string): void {
  const place = `header.${name}`
  const basic = name.endsWith('authorization') ? /^basic {1,4}([\w+/=-]{1,8192})$/i.exec(value)?.[1] : undefined
  if (basic === undefined) {
    // Credentials with parameters: `Digest username="x", uri="/"`, `AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b;c`.
    const parameters = name.endsWith('authorization') ? PARAMETERS.exec(value)?.[1]?.match(PARAMETER) ?? [] : []
    if (parameters.length === 0 || !parameters.every((one) => PARAMETER_NAME.test(one))) {
      return inspectValue(inspection, 'header', place, decodePercent(value, false), name, 1)
    }
    for (const parameter of parameters) {
      const text = parameter.slice(parameter.indexOf('=') + 1).trim()
      if (PLAIN_PARAMETER.test(text) && !text.includes('..')) continue
      inspectValue(inspection, 'header', place, decodePercent(text, false), name, 1)
    }
    return
  }
  const [user, password] = credentialsOf(Buffer.from(basic, 'base64').toString('utf8'))
  inspectValue(inspection, 'header', place, user, 'username', 1)
  inspectValue(inspection, 'header', place, password, 'password', 1)
}

const PARAMETERS = /^[\w-]{1,60} {1,4}([\w-]{1,60}=[^]*)$/
/** Commas within quotes are of the value. */
const PARAMETER = /(?:"[^"]*(?:"|$)|[^,"])+/g
const PARAMETER_NAME = /^\s{0,8}[\w-]{1,60}\s{0,8}=/
const PLAIN_PARAMETER = /^"?[\w.~+/=:@?-]*"?$|^[\w-]+(?:;[\w-]+)*$/

function credentialsOf (pair: string): [user: string, password: string] {
  const colon = pair.indexOf(':')
  return colon === -1 ? [pair, ''] : [pair.slice(0, colon), pair.slice(colon + 1)]
}

/** A type and its parameters. Their values have no blanks, which boundaries may have and clients do not use. */
const CONTENT_TYPE = sequence([
  /^(?:[\w.+*-]{1,80}\/[\w.+*-]{1,200})?/,
  repeated([/[ \t]{0,4};[ \t]{0,4}[\w*-]{1,40}="?[\w.:+,/=?-]{0,400}"?/], '{0,8}'),
  /;?$/
])
const HEADER_NAME = /^[\w-]{1,64}$/

function inspectHeader (inspection: Inspection, name: string, value: string): void {
  const place = `header.${name.slice(0, 40)}`
  if (!HEADER_NAME.test(name)) inspectName(inspection, 'header', place, name)
  if (name === 'cookie') inspectCookie(inspection, value)
  else if (name === 'user-agent') {
    inspectValue(inspection, /^[\w .()-]{1,60}\/v?\d/.test(value) ? 'agent' : 'header', place, value, name, FLAT)
  } else if (name === 'referer') inspectReferer(inspection, value)
  else if (name === 'content-type') {
    if (!CONTENT_TYPE.test(value) || value.includes('..')) {
      inspectValue(inspection, 'header', place, value, name, FLAT)
    }
  } else {
    inspectValue(inspection, 'header', place, decodePercent(value, false), name, 0)
    if (/^x[-_.](?:original[-_.])?file[-_.]?name$/.test(name)) {
      inspectValue(inspection, 'filename', place, value, name, FLAT)
    }
  }
}

/** An address without a query, its escapes read. */
const REFERER = /^https?:\/\/[\w.:/~@,+!=()*-]*(?:#[\w/-]*)?$/i

function inspectReferer (inspection: Inspection, value: string): void {
  const question = value.indexOf('?')
  const path = question === -1 ? value : value.slice(0, question)
  const plain = decodePercent(path, false)
  if (!REFERER.test(plain) || plain.includes('..')) {
    inspectValue(inspection, 'referer', 'header.referer', plain, 'referer', FLAT)
  }
  if (question !== -1) inspectForm(inspection, value.slice(question + 1), 'referer', 'header.referer', false)
}

function inspectCookie (inspection: Inspection, value: string): void {
  const pairs = value.split(';', PARTS_MAX + 1)
  if (pairs.length > PARTS_MAX && pairs.pop() !== undefined) {
    leaveBeyond(inspection, `cookie: pairs beyond the ${PARTS_MAX}th`)
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
