/** Masking in parameters of a query or a form: pairs, values in values, GraphQL by link. Pure, linear. */
import { maskDocument, type GraphqlSecrets } from './graphql-secrets.ts'
import { HIDING_LENGTH_MIN, maskTokens } from './mask-forms.ts'
import { maskVariables, type GraphqlRequest } from './mask-json.ts'
import { NAME_MAX } from './mask-named.ts'
import { decodeAscii, maskEncoded } from './mask-shape.ts'
import { maskText } from './mask.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

/**
 * `a=1&password=x`, `;`-separated too: values of secret names go, the rest is searched for secrets inside. Behind a
 * secret a semicolon may be a character of it, so what follows up to the next `&` goes as well.
 */
export function maskPairs (text: string, place: string, onMasked: OnMasked, graphql?: GraphqlRequest): string {
  return maskPairsAt(0, text, place, onMasked, graphql)
}

function maskPairsAt (
  depth: number,
  text: string,
  place: string,
  onMasked: OnMasked,
  graphql?: GraphqlRequest
): string {
  const isPaired = hasSecretAsValue(text)
  return text.replace(/[^&]+/g, (given) => {
    if (graphql !== undefined && given.startsWith('variables=')) return maskVariablesPair(given, onMasked, graphql)
    const group = graphql !== undefined && given.startsWith('query=')
      ? maskQueryPair(given, onMasked, graphql.secrets)
      : given
    let secret = ''
    return group.replace(/[^;]+/g, (pair) => {
      const equals = pair.indexOf('=')
      const value = pair.slice(equals + 1)
      if (value === '') return maskName(pair, place, onMasked)
      const name = decodeAscii(pair.slice(0, Math.max(0, equals)).replaceAll('+', ' '))
      if (equals !== -1 && (isSecretPairName(name) || (isPaired && isValueKey(name)))) secret = name
      const before = maskName(pair.slice(0, equals + 1), place, onMasked)
      if (secret === '') return before + maskInside(depth, value, `${place}.${name.slice(0, NAME_MAX)}`, onMasked)
      onMasked(`${place}.${secret.slice(0, NAME_MAX)}`)
      return before + maskEncoded(value)
    })
  })
}

/** The shortest name that may be a token. */
const TOKEN_LENGTH_MIN = 12

/** A name, with its sign behind it, that is a token itself. */
function maskName (name: string, place: string, onMasked: OnMasked): string {
  if (name.length < TOKEN_LENGTH_MIN) return name
  const plain = decodeAscii(name)
  return maskTokens(plain, place, onMasked) === plain ? name : maskEncoded(name)
}

function maskVariablesPair (pair: string, onMasked: OnMasked, graphql: GraphqlRequest): string {
  const plain = decodeValue(pair.slice('variables='.length))
  onMasked('variables')
  return `variables=${encodeURIComponent(maskVariables(plain, onMasked, graphql).toWellFormed())}`
}

function maskQueryPair (pair: string, onMasked: OnMasked, secrets: GraphqlSecrets): string {
  const plain = decodeValue(pair.slice('query='.length))
  const masked = maskDocument(plain, secrets, onMasked)
  return masked === plain ? pair : `query=${encodeURIComponent(masked.toWellFormed())}`
}

/** Of a target in a target the path may stand before the name. */
function isSecretPairName (name: string): boolean {
  return isSecretName(name) || (/[?#/]/.test(name) && isSecretName(name.split(/[?#/]/).at(-1) as string))
}

/** `name=password&value=x`, in any order. */
function hasSecretAsValue (text: string): boolean {
  return [...text.matchAll(/(?<![^&;?])([a-z]{3,16})=([^&;=]{3,64})/gi)].some((pair) =>
    isNameKey(pair[1] as string) && isSecretName(decodeAscii(pair[2] as string)))
}

/** Of values in values, each of which is decoded. */
const DEPTH_MAX = 3
/** What stands behind a name, also encoded once more. */
const MAY_NAME = /[{"'=:<]|(?:^|\s)-|%(?:25)*(?:3[AaCcDd]|22|27|7[Bb])/

/** A value that is itself JSON, GraphQL, XML or a target, percent-encoded: secrets inside it. */
function maskInside (depth: number, value: string, place: string, onMasked: OnMasked): string {
  if (value.length < HIDING_LENGTH_MIN) return value
  const plain = decodeValue(value)
  if (depth > 0 && plain === value) return value
  const named = MAY_NAME.test(plain) ? maskText(plain, place, onMasked) : maskTokens(plain, place, onMasked)
  const masked = depth < DEPTH_MAX && named.includes('%') ? maskDeeper(depth + 1, named, place, onMasked) : named
  if (masked === plain) return value
  // Half a surrogate pair, which a sample's target may hold, has no encoding.
  return plain === value ? masked.toWellFormed() : encodeURIComponent(masked.toWellFormed())
}

/** A value that is still encoded, as a whole or in the parameters of a target. */
function maskDeeper (depth: number, value: string, place: string, onMasked: OnMasked): string {
  const mark = value.indexOf('?')
  if (mark === -1 && /[^\w.!~*'()%+-]/.test(value)) return value
  return value.slice(0, mark + 1) + (mark === -1
    ? maskInside(depth, value, place, onMasked)
    : maskPairsAt(depth, value.slice(mark + 1), place, onMasked))
}

/** A percent sign that begins no escape stays one, as receivers read it; text that is no UTF-8 stays as it is. */
export function decodeValue (text: string): string {
  if (!text.includes('%')) return text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(text.replaceAll('+', ' ').replace(/%(?![0-9A-Fa-f]{2})/g, '%25'))
  } catch {
    return text
  }
}
