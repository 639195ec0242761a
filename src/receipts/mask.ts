/**
 * Masking: a secret is replaced by its shape, letters by `a`, digits by `0`, so that a length or an alphabet
 * can still be judged in a replay and nothing can be read. Text is bytes as latin1 here: what is masked keeps
 * its length. Pure.
 */
import { anyOf, captured, sequence } from '../std/regex.ts'
import { isSecretName } from './secret-names.ts'

/** Called with the place of each secret that was masked. */
export type OnMasked = (place: string) => void

/** Same length, same punctuation, no content. */
export function maskShape (text: string): string {
  return text.replace(/[A-Za-z\u0080-\uffff]/g, 'a').replace(/\d/g, '0')
}

/**
 * Tokens that give themselves away wherever they stand: JWTs, keys of well-known makers, PEM keys,
 * credentials in a URL.
 */
// Each alternative begins at a boundary: a run of letters is read once, not once from each of its letters.
const TOKENS = anyOf([
  // A JWT; percent-encoded text may stand before it.
  /(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]{8,}(?:\.[\w-]*){1,4}/,
  /\b(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|npm|neko|hf|shpat)[_-][\w-]{12,}/,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/,
  /\bAIza[\w-]{30,}/,
  /(?<=\b(?:[Bb]earer|[Bb]asic|[Tt]oken|[Dd]igest|[Aa]pi[Kk]ey)(?: |%20|\+))[\w.~+/=-]{6,}/,
  /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{0,8192}?(?:-----END|$)/,
  /(?<=:\/\/)[^\s/?#@"'<>]{1,512}(?=@)/
], 'g')

export function maskTokens (text: string, place: string, onMasked: OnMasked): string {
  return text.replace(TOKENS, (token) => {
    onMasked(place)
    return maskShape(token)
  })
}

/** `a=1&password=x`, `;`-separated too: values of secret names go, the rest is searched for tokens. */
export function maskPairs (text: string, place: string, onMasked: OnMasked): string {
  return text.split(/([&;])/).map((pair) => {
    const equals = pair.indexOf('=')
    if (equals === -1) return maskTokens(pair, place, onMasked)
    const name = decodeTwice(pair.slice(0, equals))
    const value = pair.slice(equals + 1)
    if (value !== '' && isSecretName(name)) {
      onMasked(`${place}.${name.slice(0, 64)}`)
      // The percent signs of escapes stay with two digits behind them, so that it decodes.
      return pair.slice(0, equals + 1) + maskEncoded(value)
    }
    return pair.slice(0, equals + 1) + maskInside(value, `${place}.${name.slice(0, 64)}`, onMasked)
  }).join('')
}

/** A value that is itself JSON or GraphQL, percent-encoded: secrets inside it. */
function maskInside (value: string, place: string, onMasked: OnMasked): string {
  const plain = decodeName(value)
  if (!/[{"'=:]/.test(plain)) return maskTokens(value, place, onMasked)
  let isMasked = false
  const masked = maskText(plain, place, (inner) => {
    isMasked = true
    onMasked(inner)
  })
  return isMasked ? encodeURIComponent(masked) : value
}

function maskEncoded (value: string): string {
  return value.replace(/%[0-9A-Fa-f]{2}|[\s\S]/g, (unit) => unit.length === 3 ? '%61' : maskShape(unit))
}

/** A name may be encoded twice, so that a filter in front does not know it. */
function decodeTwice (text: string): string {
  const once = decodeName(text)
  return once.includes('%') ? decodeName(once) : once
}

function decodeName (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

/** `a=1; session=x`: names stay, values go. */
export function maskCookies (text: string, onMasked: OnMasked): string {
  return text.split(';').map((pair) => {
    const equals = pair.indexOf('=')
    if (equals === -1) return pair.trim() === '' ? pair : maskShape(pair)
    onMasked(`cookie.${pair.slice(0, equals).trim().slice(0, 64)}`)
    return pair.slice(0, equals + 1) + maskShape(pair.slice(equals + 1))
  }).join(';')
}

// A name, a separator, a value: as in GraphQL, JSON5, XML attributes, INI, logs. Quotes may be escaped (a
// query inside JSON).
const LOOSE = sequence([
  /([A-Za-z_$][\w$.-]{0,63})/,
  /(\\*["']?\s{0,8}[:=]\s{0,8})/,
  captured([
    /(?:\\*"){3}[\s\S]*?(?:(?:\\*"){3}|$)/,
    /\\+"[\s\S]*?(?:\\+"|$)/,
    /"(?:[^"\\]|\\.)*(?:"|$)/,
    /'(?:[^'\\]|\\.)*(?:'|$)/,
    /[^\s"'&,;<>(){}[\]]+/
  ])
], 'g')
const ELEMENT = /<([A-Za-z_][\w.:-]{0,63})(\s[^<>]{0,512})?>([^<]{1,8192})</g
const PART = /(name="?([^"\r\n;]{1,128})"?[^\r\n]{0,512}(?:\r?\n[^\r\n]{1,512}){0,8}\r?\n\r?\n)([\s\S]*?)(?=\r?\n--|$)/g

/** Text of no known form, or of several: whatever follows a secret name is masked. */
export function maskText (text: string, place: string, onMasked: OnMasked): string {
  const named = text
    .replace(
      LOOSE,
      (whole, name: string, separator: string, value: string) =>
        hide(whole, name, name + separator, value, '')
    )
    .replace(
      ELEMENT,
      (whole, name: string, attributes: string | undefined, value: string) =>
        hide(whole, name.slice(name.indexOf(':') + 1), `<${name}${attributes ?? ''}>`, value, '<')
    )
    .replace(PART, (whole, head: string, name: string, value: string) => hide(whole, name, head, value, ''))
  return maskTokens(named, place, onMasked)

  function hide (whole: string, name: string, head: string, value: string, tail: string): string {
    if (value === '' || !isSecretName(name) || isReference(value)) return whole
    onMasked(`${place}.${name.slice(0, 64)}`)
    return head + maskShape(value) + tail
  }
}

/** `password: $password` names a variable, and `token: String!` a type: neither is a secret. */
function isReference (value: string): boolean {
  return /^\$\w{1,64}$/.test(value) || /^\[?(?:String|ID|Int|Float|Boolean)\b!?\]?!?$/.test(value)
}
