import {
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_MEDIA_UNSUPPORTED,
  NEKO_ERR_REQUEST_TOO_COMPLEX
} from '../errors.ts'
import { JSON_DEPTH_MAX } from '../std/keys.ts'
import { decidingScore } from './own-data.ts'
import { refusalFrom, type Refusal } from './refusal.ts'
import type { Body, Transaction } from './transaction.ts'

/**
 * What is refused because nobody read it: a packed body anywhere; on routes of ours a body in another charset, and
 * whatever lies beyond the bounds of inspection. Elsewhere the scan of the raw bytes has decided
 * (detect/raw-scan/raw-scan.ts).
 */
interface Unread {
  readonly refusal: Refusal
  /** For the receipt; null where the score says it already. */
  readonly remark: string | null
}

const UNSUPPORTED = refusalFrom(new NEKO_ERR_MEDIA_UNSUPPORTED(), { headers: { connection: 'close' } })
/** As the parsers behind would answer it, which have the same bound. */
const TOO_DEEP = refusalFrom(new NEKO_ERR_BODY_INVALID(`it is nested deeper than ${JSON_DEPTH_MAX} levels`))
const DEEP = /: JSON deeper than /
const TOO_LARGE = refusalFrom(new NEKO_ERR_BODY_TOO_LARGE())
const TOO_COMPLEX = refusalFrom(new NEKO_ERR_REQUEST_TOO_COMPLEX())

/** Null for a request that is read in full, as far as it is read at all. */
export function unreadOf (transaction: Transaction, body: Body | null): Unread | null {
  const { route, headers } = transaction
  const score = decidingScore(transaction)
  const isOurs = route.pattern !== null && !route.isDecoy
  // Those who may not send a body there are refused without it being parsed; those who may are trusted with it.
  const isBodyRead = route.bodyScope === null
  if (body !== null && isBodyRead) {
    const media = packedAs(headers) ?? (isOurs ? otherCharset(headers) : null)
    if (media !== null) return { refusal: UNSUPPORTED, remark: `body: ${media}, which no route of ours reads` }
  }
  if (!isOurs) return null
  if (score!.beyond === 'body' && isBodyRead) {
    const isDeep = score!.notInspected.some((remark) => DEEP.test(remark))
    return { refusal: isDeep ? TOO_DEEP : TOO_LARGE, remark: null }
  }
  return score!.beyond === 'head' ? { refusal: TOO_COMPLEX, remark: null } : null
}

/** RFC 8259 8.1: JSON between systems is UTF-8; GraphQL over HTTP is JSON. US-ASCII is a part of it. */
const READ_CHARSETS = /^(?:utf-?8|(?:us-)?ascii)$/
/** Longer values of parameters name no charset. */
const CHARSET_PARAMETER = /charset\*?\s{0,8}=\s{0,8}["']?([^\s"';,]{0,40})/g

/** Unpacking multiplies a body. */
function packedAs (headers: readonly string[]): string | null {
  const packed = valuesOf(headers, 'content-encoding').find((value) => value !== '' && value !== 'identity')
  return packed === undefined ? null : `${packed.slice(0, 20)} encoded`
}

function otherCharset (headers: readonly string[]): string | null {
  const types = valuesOf(headers, 'content-type').filter((type) => type.includes('charset'))
  if (types.length === 0) return null
  const charsets = types.flatMap((type) =>
    [...type.matchAll(CHARSET_PARAMETER)].map(([, charset]) => charset as string)
  )
  const other = charsets.find((charset) => !READ_CHARSETS.test(charset.replace(/^utf-8''/, '')))
  return other === undefined ? null : `charset ${other.slice(0, 20)}`
}

const NONE: readonly string[] = []

/** Of all headers of that name: parsers may take the first or the last. */
function valuesOf (headers: readonly string[], name: string): readonly string[] {
  let values: string[] | null = null
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const given = headers[i] as string
    if (given.length === name.length && given.toLowerCase() === name) {
      values ??= []
      values.push((headers[i + 1] as string).trim().toLowerCase())
    }
  }
  return values ?? NONE
}
