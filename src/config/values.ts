import { captured, sequence } from '../std/regex.ts'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { isIP } from 'node:net'

/**
 * The values of the environment: each reader takes a variable's name and its text, and gives what it means or throws
 * ConfigError. Which variables there are, and how they stand to each other, is config.ts'.
 */
export interface Rate { max: number, windowSeconds: number, blockSeconds: number }

/** Which variable is wrong and how; never the value, which may be a secret. */
export class ConfigError extends Error {
  readonly variable: string
  constructor (variable: string, problem: string) {
    super(`${variable}: ${problem}`)
    this.name = 'ConfigError'
    this.variable = variable
  }
}

/** Values seen in examples and tutorials: a server that runs with one of them has published its key. */
const PLACEHOLDER = sequence([
  /^/,
  captured([
    /change[-_ ]?(me|this|it)|your[-_ ]|my[-_ ]?secret|super[-_ ]?secret|secret|example|placeholder|insecure/,
    /default|test|password|x{8,}|0{8,}|1234/
  ])
], 'i')

/** Each decoy is a route of the server; a message is kept once per URL until it is delivered. */
const DECOYS_MAX = 500
const WEBHOOKS_MAX = 16
/** A rotation needs two: more than this is a list of something else. */
const KEYS_MAX = 8

export type Environment = Record<string, string | undefined>

/** One of a few words, spelled exactly. */
export function oneOf<const T extends readonly string[]> (variable: string, value: string, values: T): T[number] {
  if (!values.includes(value)) throw new ConfigError(variable, `must be one of ${values.join(', ')}`)
  return value as T[number]
}

/** A whole number, `min` and `max` included; no sign, point or exponent. `word`: what the caller takes as well. */
export function number (variable: string, value: string, min: number, max: number, word?: string): number {
  const parsed = Number(value)
  if (!/^\d{1,10}$/.test(value) || parsed < min || parsed > max) {
    const instead = word === undefined ? '' : `${word} or `
    throw new ConfigError(variable, `must be ${instead}a whole number from ${min} to ${max}`)
  }
  return parsed
}

/** A text that fits; `problem` says what would. */
export function pattern (variable: string, value: string, expected: RegExp, problem: string): string {
  if (!expected.test(value)) throw new ConfigError(variable, problem)
  return value
}

/** Items between commas, trimmed; empty ones are left out. */
export function list (value: string): string[] {
  return value.split(',').map((item) => item.trim()).filter((item) => item !== '')
}

/** `15m`, `7d`, `3600s`, or bare seconds: 1 s to 30 days. */
export function duration (variable: string, value: string): number {
  const match = /^(\d{1,7})(s|m|h|d)?$/.exec(value)
  const seconds = match === null
    ? 0
    : Number(match[1]) * { s: 1, m: 60, h: 3600, d: 86_400 }[(match[2] ?? 's') as 's' | 'm' | 'h' | 'd']
  if (seconds < 1 || seconds > 30 * 86_400) {
    throw new ConfigError(variable, 'must be a duration like 15m or 7d, at most 30 days')
  }
  return seconds
}

/** `max/windowSeconds/blockSeconds`, all three: a limit that lost its block by a short form would say nothing of it. */
export function rate (variable: string, value: string): Rate {
  const [max = 0, windowSeconds = 0, blockSeconds = 0] = /^\d{1,7}\/\d{1,5}\/\d{1,6}$/.test(value)
    ? value.split('/').map(Number)
    : []
  if (max < 1 || windowSeconds < 1 || windowSeconds > 86_400) {
    throw new ConfigError(
      variable,
      'must be requests/seconds/blockSeconds, like 10/60/300 (0 for no block), at most a day'
    )
  }
  return { max, windowSeconds, blockSeconds }
}

/** Everybody's word about everybody's address is nobody's. */
export function trustedProxies (value: string): string[] {
  const list = cidrs('TRUST_PROXY', value)
  if (list.some((cidr) => cidr.endsWith('/0'))) {
    throw new ConfigError('TRUST_PROXY', 'must name proxies: /0 would trust every client')
  }
  return list
}

/** Addresses that NEKO itself answers: a decoy there would hide them, or ban the clients that ask for them. */
const OWN_ADDRESS = /^\/(?:graphql|graphiql|health|healthz|api\/health|v1|metrics)(?:\/|$)/

/** Paths of decoys; `none` is none at all. */
export function decoys (value: string): string[] {
  if (value === 'none') return []
  const paths = [...new Set(list(value))]
  if (paths.length > DECOYS_MAX) throw new ConfigError('DECOY_PATHS', `may list at most ${DECOYS_MAX}`)
  for (const path of paths) {
    if (!/^(?:\/[A-Za-z0-9._~-]+)+\/?$/.test(path) || path.length > 200) {
      throw new ConfigError('DECOY_PATHS', 'must be paths like /.env, separated by commas, or none')
    }
    if (OWN_ADDRESS.test(path)) throw new ConfigError('DECOY_PATHS', 'names an address of NEKO itself')
  }
  return paths
}

/** Addresses and CIDRs; a bare address is one of full width. */
export function cidrs (variable: string, value: string): string[] {
  return list(value).map((item) => {
    const [address, bits, more] = item.split('/') as [string, string | undefined, string | undefined]
    const family = isIP(address)
    const width = family === 4 ? 32 : 128
    if (
      family === 0 || more !== undefined ||
      (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > width))
    ) {
      throw new ConfigError(
        variable,
        'must be addresses or CIDRs separated by commas' +
          (variable === 'TRUST_PROXY' ? ' (a hop count or "true" would trust the client)' : '')
      )
    }
    return bits === undefined ? `${address}/${width}` : item
  })
}

function parsedUrl (variable: string, value: string): URL {
  try {
    return new URL(value)
  } catch {
    throw new ConfigError(variable, 'is no URL')
  }
}

function webUrl (variable: string, value: string): string {
  const url = parsedUrl(variable, value)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new ConfigError(variable, 'must be http or https URLs')
  }
  return url.href
}

/** An exact origin: scheme, host and port. */
export function origin (variable: string, value: string): string {
  if (value === '*') throw new ConfigError(variable, 'must be a list of exact origins: "*" cannot go with credentials')
  const url = parsedUrl(variable, value)
  if (url.origin !== value.replace(/\/$/, '')) {
    throw new ConfigError(variable, 'must be origins like https://example.org, without a path')
  }
  return url.origin
}

/** A redis or rediss URL, as it was given: it may hold a password. */
export function redisUrl (variable: string, value: string | null): string | null {
  if (value === null) return null
  const url = parsedUrl(variable, value)
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new ConfigError(variable, 'must begin with redis:// or rediss://')
  }
  return value
}

/** Bounds of the first administrator's password; identity/password-rules.ts has the rest. */
export function adminPassword (value: string | null): string | null {
  if (value !== null && ([...value].length < 12 || Buffer.byteLength(value) > 256)) {
    throw new ConfigError('ADMIN_PASSWORD', 'must have 12 characters or more, and at most 256 bytes')
  }
  return value
}

/** Where webhooks go; they are signed, so there is a secret where there is a URL. */
export function webhookUrls (value: string, secret: string | null): string[] {
  const urls = list(value).map((url) => webUrl('WEBHOOK_URLS', url))
  if (urls.length > 0 && secret === null) {
    throw new ConfigError('WEBHOOK_SECRET', 'is needed to sign what goes to WEBHOOK_URLS')
  }
  if (urls.length > WEBHOOKS_MAX) throw new ConfigError('WEBHOOK_URLS', `may list at most ${WEBHOOKS_MAX}`)
  return urls
}

/**
 * REDIS_PORT as a URL (`tcp://10.0.0.1:6379`) is what Kubernetes injects for a service named redis: not meant
 * for us.
 */
export function redisFromHost (env: Environment): string | null {
  const host = env.REDIS_HOST?.trim() ?? ''
  if (host === '') return null
  if (!/^[A-Za-z0-9._:-]{1,253}$/.test(host)) throw new ConfigError('REDIS_HOST', 'must be a host name or an address')
  const port = env.REDIS_PORT?.trim() ?? ''
  const usable = port === '' || port.includes('://') ? 6379 : number('REDIS_PORT', port, 1, 65535)
  return `redis://${isIP(host) === 6 ? `[${host}]` : host}:${usable}`
}

/** A MongoDB URI, as it was given. Production refuses one that switches certificate checks off. */
export function mongoUri (value: string | null, production: boolean): string | null {
  if (value === null) return null
  if (!/^mongodb(\+srv)?:\/\/[^/]+/.test(value)) {
    throw new ConfigError('MONGODB_URI', 'must begin with mongodb:// or mongodb+srv:// and name a host')
  }
  if (production && /[?&](tlsInsecure|tlsAllowInvalidCertificates|tlsAllowInvalidHostnames)=true/i.test(value)) {
    throw new ConfigError('MONGODB_URI', 'switches certificate checks off, which production refuses')
  }
  return value
}

/** Secrets that sign, the first one now; required and strong in production, 8 at most. */
export function strongKeys (variable: string, keys: string[], production: boolean): string[] {
  if (keys.length === 0 && production) throw new ConfigError(variable, 'is required in production')
  if (keys.length > KEYS_MAX) throw new ConfigError(variable, `may list at most ${KEYS_MAX} keys`)
  for (const key of keys) requireStrong(variable, key, production)
  return keys
}

/** The list is cut apart where it is used (audit/signing.ts); here each of its keys is looked at. */
export function signingKey (given: string | null, production: boolean): string | null {
  if (given === null && production) throw new ConfigError('AUDIT_SIGNING_KEY', 'is required in production')
  const keys = list(given ?? '')
  if (keys.length > KEYS_MAX) throw new ConfigError('AUDIT_SIGNING_KEY', `may list at most ${KEYS_MAX} keys`)
  for (const [index, key] of keys.entries()) {
    if (!key.startsWith('-----BEGIN ')) requireStrong('AUDIT_SIGNING_KEY', key, production)
    else if (!isEd25519(key, index > 0)) {
      throw new ConfigError(
        'AUDIT_SIGNING_KEY',
        'must be Ed25519 where it is a PEM: PKCS8, and behind the first key also public ones'
      )
    }
  }
  return given
}

function isEd25519 (pem: string, mayBePublic: boolean): boolean {
  try {
    const isPublic = pem.startsWith('-----BEGIN PUBLIC KEY')
    return (!isPublic || mayBePublic) &&
      (isPublic ? createPublicKey(pem) : createPrivateKey(pem)).asymmetricKeyType === 'ed25519'
  } catch {
    return false
  }
}

/** The same for one that may be left out. */
export function strongKey (variable: string, key: string | null, production: boolean): string | null {
  if (key !== null) requireStrong(variable, key, production)
  return key
}

function requireStrong (variable: string, key: string, production: boolean): void {
  if (!production) return
  if (Buffer.byteLength(key) < 32) throw new ConfigError(variable, 'must have 32 bytes or more')
  if (PLACEHOLDER.test(key) || new Set(key).size < 8) throw new ConfigError(variable, 'is a known placeholder')
}
