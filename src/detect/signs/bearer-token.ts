import { BoundedMap } from '../../std/bounded-map.ts'

/**
 * The head of a JSON Web Token in `Authorization`, which says how it is to be checked: a head that says "not
 * at all", or that leads the check to a file or a query of the sender's, is an attack whoever verifies it
 * (RFC 8725 2.1, 3.5). The head holds no secret; claims and signature are never decoded.
 */
const HEAD_MAX = 1_024
const HEADS_MAX = 256
/** Issuers have few heads: each is read once, and a flood of others pushes out what nobody asks for. */
const readHeads = new BoundedMap<string, TokenHead | null>(HEADS_MAX)

interface TokenHead {
  value: number
  text: string
}

/** The fault in the head of a bearer token, or null. `authorization` is the header's value. */
export function matchTokenHead (authorization: string): TokenHead | null {
  const at = authorization.indexOf('eyJ')
  const end = at === -1 ? -1 : authorization.indexOf('.', at)
  if (end === -1 || end - at > HEAD_MAX) return null
  const head = authorization.slice(at, end)
  const known = readHeads.use(head)
  if (known !== undefined) return known
  const found = readHead(Buffer.from(head, 'base64url').toString('latin1'))
  readHeads.set(head, found)
  return found
}

function readHead (head: string): TokenHead | null {
  if (/"alg"\s*:\s*"(?:none)?"/i.test(head)) return { value: 0.82, text: 'a token that says it is not signed' }
  if (/"kid"\s*:\s*"[^"]*(?:\.\.[\\/]|\\?\/(?:dev|etc|proc)\\?\/|'|\||;|\$\()/.test(head)) {
    return { value: 0.82, text: 'a key id that is a path or code' }
  }
  if (/"jwk"\s*:\s*\{/.test(head)) return { value: 0.78, text: 'a token that brings its own key' }
  if (/"(?:jku|x5u)"\s*:\s*"/.test(head)) return { value: 0.5, text: 'a token that says where its key is' }
  return null
}
