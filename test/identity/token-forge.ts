import { createHmac, createPublicKey, generateKeyPairSync, sign as signWith } from 'node:crypto'
import { AUDIENCE, ISSUER, kidOfSecret } from '../../src/identity/tokens.ts'
import { SECRET } from './room.ts'

/**
 * Tokens that our own secret signed, and all that is wrong with others, for a server whose clock says
 * `now` (seconds).
 */
export const USER = 'us_00000000000000000000'
const kid = kidOfSecret(SECRET)
const HEADER = { alg: 'HS256', typ: 'JWT', kid }

const encode = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

export interface Forge {
  CLAIMS: { iss: string, aud: string, sub: string, sid: string, gen: number, iat: number, exp: number }
  good: string
  rsaPem: string
  rsaJwk: object
  forge (parts?: Parts): string
  /** Each must be refused. `url` stands for a server that counts who fetches from it. */
  vectors (url: string): Record<string, string>
}

interface Parts { header?: unknown, claims?: unknown, secret?: string | Buffer, hash?: string }

export function createForge (now: number): Forge {
  const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: USER, sid: 'se_00000000000000000000', gen: 1, iat: now, exp: now + 900 }

  /** A token with exactly these parts, signed as asked: what an attacker who has the secret could make, to test the checks behind the signature. */
  function forge ({ header = HEADER, claims = CLAIMS, secret = SECRET, hash = 'sha256' }: Parts = {}): string {
    const input = `${encode(header)}.${encode(claims)}`
    return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
  }

  const good = forge()
  const [goodHeader, goodClaims, goodSignature] = good.split('.') as [string, string, string]
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rsaPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
  const rsaJwk = createPublicKey(rsaPem).export({ format: 'jwk' })
  const rsaInput = `${encode({ ...HEADER, alg: 'RS256' })}.${encode(CLAIMS)}`

  const vectors = (url: string): Record<string, string> => ({
    'alg none, no signature': `${encode({ ...HEADER, alg: 'none' })}.${goodClaims}.`,
    'alg None': `${encode({ ...HEADER, alg: 'None' })}.${goodClaims}.`,
    'alg nOnE': `${encode({ ...HEADER, alg: 'nOnE' })}.${goodClaims}.`,
    'alg NONE with a signature': forge({ header: { ...HEADER, alg: 'NONE' } }),
    'alg none with the signature of another': `${encode({ ...HEADER, alg: 'none' })}.${goodClaims}.${goodSignature}`,
    'alg missing': forge({ header: { typ: 'JWT', kid } }),
    'alg null': forge({ header: { ...HEADER, alg: null } }),
    'alg as a number': forge({ header: { ...HEADER, alg: 256 } }),
    'alg as an array': forge({ header: { ...HEADER, alg: ['HS256'] } }),
    'alg in lower case': forge({ header: { ...HEADER, alg: 'hs256' } }),
    'alg __proto__': forge({ header: { ...HEADER, alg: '__proto__' } }),
    HS384: forge({ header: { ...HEADER, alg: 'HS384' }, hash: 'sha384' }),
    HS512: forge({ header: { ...HEADER, alg: 'HS512' }, hash: 'sha512' }),
    'HS512 in the header, HMAC-SHA256 in the signature': forge({ header: { ...HEADER, alg: 'HS512' } }),
    'RS256 with a key of its own': `${rsaInput}.${signWith('sha256', Buffer.from(rsaInput), rsa.privateKey).toString('base64url')}`,
    'HS256 by an RSA public key in PEM': forge({ secret: rsaPem }),
    'HS256 by a PEM with a leading space': forge({ secret: ` ${rsaPem}` }),
    'HS256 by a PEM without its last newline': forge({ secret: rsaPem.trimEnd() }),
    'HS256 by the JSON of a JWK': forge({ secret: JSON.stringify(rsaJwk) }),
    'an empty key': forge({ secret: '' }),
    'a key of one NUL': forge({ secret: Buffer.alloc(1) }),
    'the kid as the key': forge({ secret: kid }),
    'the key "a"': forge({ secret: 'a' }),
    'an unknown kid': forge({ header: { ...HEADER, kid: 'AAAAAAAAAAAAAAAA' } }),
    'no kid': forge({ header: { alg: 'HS256', typ: 'JWT' } }),
    'a kid that is a path': forge({ header: { ...HEADER, kid: '../../../../dev/null' }, secret: '' }),
    'a kid that is SQL': forge({ header: { ...HEADER, kid: "x' UNION SELECT 'key" }, secret: 'key' }),
    'a kid that is a command': forge({ header: { ...HEADER, kid: '|sleep 5' } }),
    'kid __proto__': forge({ header: '{"alg":"HS256","typ":"JWT","kid":"__proto__"}' }),
    'kid constructor': forge({ header: { ...HEADER, kid: 'constructor' } }),
    'kid as an object': forge({ header: { ...HEADER, kid: { $ne: null } } }),
    'kid as an array': forge({ header: { ...HEADER, kid: [kid] } }),
    'kid as a number': forge({ header: { ...HEADER, kid: 0 } }),
    jku: forge({ header: { ...HEADER, jku: `${url}/jwks.json` } }),
    'jku in place of kid': forge({ header: { alg: 'HS256', typ: 'JWT', jku: `${url}/jwks.json` } }),
    x5u: forge({ header: { ...HEADER, x5u: `${url}/cert.pem` } }),
    x5c: forge({ header: { ...HEADER, x5c: ['MIIB'] } }),
    'an embedded jwk': forge({ header: { ...HEADER, jwk: { kty: 'oct', k: encode('attacker') } }, secret: 'attacker' }),
    'an embedded RSA jwk': forge({ header: { ...HEADER, jwk: rsaJwk } }),
    'crit with an unknown extension': forge({ header: { ...HEADER, crit: ['exp'], exp: 1 } }),
    'crit that is empty': forge({ header: { ...HEADER, crit: [] } }),
    'crit that is no array': forge({ header: { ...HEADER, crit: 'b64' } }),
    'b64 false': forge({ header: { ...HEADER, b64: false, crit: ['b64'] } }),
    'b64 false without crit': forge({ header: { ...HEADER, b64: false } }),
    zip: forge({ header: { ...HEADER, zip: 'DEF' } }),
    'cty JWT': forge({ header: { ...HEADER, cty: 'JWT' } }),
    'typ of another kind': forge({ header: { ...HEADER, typ: 'at+jwt' } }),
    'no typ': forge({ header: { alg: 'HS256', kid } }),
    'an array as header': forge({ header: [HEADER] }),
    'null as header': forge({ header: 'null' }),
    'text as header': forge({ header: '"HS256"' }),
    'no JSON as header': forge({ header: '{alg:HS256}' }),
    'an empty header': `.${goodClaims}.${goodSignature}`,
    'stripped signature': `${goodHeader}.${goodClaims}.`,
    'stripped signature and its dot': `${goodHeader}.${goodClaims}`,
    'cut signature': good.slice(0, -1),
    'padded signature': `${good}=`,
    'signature with a line feed': `${good}\n`,
    'lengthened signature': `${good}A`,
    'signature with unused bits set': good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1),
    'signature in standard base64': forge({ claims: { ...CLAIMS, jti: 'x' } }).replace(/[^.]*$/, (signature) => `${signature.slice(0, 10)}+/${signature.slice(12)}`),
    'signature of zeros': `${goodHeader}.${goodClaims}.${'A'.repeat(43)}`,
    'padded header': `${goodHeader}=.${goodClaims}.${goodSignature}`,
    'four parts': `${good}.${goodSignature}`,
    'five parts (JWE)': 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA',
    'one part': 'abc',
    'dots only': '..',
    nothing: '',
    'claims of another token': `${goodHeader}.${encode({ ...CLAIMS, sub: 'us_11111111111111111111' })}.${goodSignature}`,
    'claims that are an array': forge({ claims: [CLAIMS] }),
    'claims that are null': forge({ claims: 'null' }),
    'claims that are no JSON': forge({ claims: '{' }),
    'empty claims': forge({ claims: '' }),
    'no exp': forge({ claims: { ...CLAIMS, exp: undefined } }),
    'exp null': forge({ claims: { ...CLAIMS, exp: null } }),
    'exp as text': forge({ claims: { ...CLAIMS, exp: String(now + 900) } }),
    'exp as an array': forge({ claims: { ...CLAIMS, exp: [now + 900] } }),
    'exp true': forge({ claims: { ...CLAIMS, exp: true } }),
    'exp beyond numbers': forge({ claims: JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":1e999') }),
    'exp negative': forge({ claims: { ...CLAIMS, exp: -1 } }),
    'exp passed by a second': forge({ claims: { ...CLAIMS, iat: now - 900, exp: now - 1 } }),
    'exp now': forge({ claims: { ...CLAIMS, iat: now - 900, exp: now } }),
    'exp before iat': forge({ claims: { ...CLAIMS, iat: now + 10, exp: now + 5 } }),
    'exp in a hundred years': forge({ claims: { ...CLAIMS, exp: now + 3_153_600_000 } }),
    'no iat': forge({ claims: { ...CLAIMS, iat: undefined } }),
    'iat in the future': forge({ claims: { ...CLAIMS, iat: now + 61 } }),
    'iat as text': forge({ claims: { ...CLAIMS, iat: String(now) } }),
    'nbf in the future': forge({ claims: { ...CLAIMS, nbf: now + 61 } }),
    'nbf as text': forge({ claims: { ...CLAIMS, nbf: '0' } }),
    'nbf null': forge({ claims: { ...CLAIMS, nbf: null } }),
    'no iss': forge({ claims: { ...CLAIMS, iss: undefined } }),
    'wrong iss': forge({ claims: { ...CLAIMS, iss: 'https://evil.example' } }),
    'iss as an array': forge({ claims: { ...CLAIMS, iss: [ISSUER] } }),
    'iss with more behind': forge({ claims: { ...CLAIMS, iss: `${ISSUER}.evil.example` } }),
    'no aud': forge({ claims: { ...CLAIMS, aud: undefined } }),
    'wrong aud': forge({ claims: { ...CLAIMS, aud: 'another' } }),
    'several aud': forge({ claims: { ...CLAIMS, aud: [AUDIENCE, 'another'] } }),
    'no sub': forge({ claims: { ...CLAIMS, sub: undefined } }),
    'sub as an object': forge({ claims: { ...CLAIMS, sub: { $gt: '' } } }),
    'sub __proto__': forge({ claims: { ...CLAIMS, sub: '__proto__' } }),
    'no sid': forge({ claims: { ...CLAIMS, sid: undefined } }),
    'gen as text': forge({ claims: { ...CLAIMS, gen: '1' } }),
    'claims in __proto__': forge({ claims: '{"__proto__":{"iss":"neko-defense-api"}}' }),
    'a nested token': forge({ claims: encode(good) }),
    'deep JSON': forge({ claims: '['.repeat(1_000) + ']'.repeat(1_000) }),
    'a token of 64 kB': forge({ claims: { ...CLAIMS, more: 'x'.repeat(64 * 1024) } }),
    'two tokens': `${good},${good}`,
    'NUL in the middle': `${good.slice(0, 30)}\0${good.slice(31)}`,
    'letters beyond ASCII': `${goodHeader}.${goodClaims}.é${goodSignature.slice(1)}`
  })

  return { CLAIMS, good, rsaPem, rsaJwk, forge, vectors }
}
