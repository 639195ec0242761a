import { asBuffer } from '../bytes.ts'
import { addSign, resultOf } from '../evidence.ts'
import { addExhaustingSigns } from '../signs/exhausting.ts'
import { addOverrideSigns } from '../signs/method-override.ts'
import { matchScannerPath } from '../signs/scanner-paths.ts'
import { headerOf } from '../request-view.ts'
import { isForeignReferer, addSessionNameSigns, maySpeakOfSessions } from '../signs/session-fixation.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult, Observation } from '../shapes.ts'

const WEBDAV_METHODS = new Set(['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'SEARCH', 'REPORT'])
const KNOWN_METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])
/** As many bytes as the payload factor reads, which says so when there are more. */
const BODY_MAX = 1_048_576

/**
 * The target and the method: paths that only scanners know (full worth on an unknown route, little on one of ours),
 * methods out of place, targets that are encoded to slip past somebody, session ids handed in from another
 * site. GraphQL misuse shows in the parsed document and is the payload factor's.
 */
export function measureEndpoint (observation: Observation, view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  addTargetSigns(observation, view, signs)
  addMethodSigns(view, signs)
  addOverrideSigns(view, observation.body, isForm(view), signs)
  addEncodingSigns(observation.url, signs)
  addSessionSigns(observation, view, signs)
  addExhaustingSigns(observation.history, signs)
  return resultOf('endpoint', signs, policy.ceilings.endpoint)
}

function addTargetSigns (observation: Observation, view: RequestView, signs: Signs): void {
  if (observation.route !== null) return
  const scanner = matchScannerPath(view.path)
  if (scanner !== null) addSign(signs, scanner.value, scanner.rule, 'path', scanner.text, 'T1595.003')
}

function addMethodSigns (view: RequestView, signs: Signs): void {
  const { method } = view
  if (
    view.query.length > 2 * PARAMETERS_MAX &&
    view.query.split('&', PARAMETERS_MAX + 1).length > PARAMETERS_MAX
  ) {
    addSign(
      signs,
      0.76,
      'endpoint.parameter-flood',
      'query',
      `more than ${PARAMETERS_MAX} parameters`,
      'T1499'
    )
  }
  if (view.bodyBytes > 0 && (method === 'GET' || method === 'HEAD')) {
    addSign(
      signs,
      isForm(view) ? (method === 'HEAD' ? 0.76 : 0.5) : 0.2,
      'endpoint.body',
      'body',
      `${method} with a body`
    )
  }
  if (KNOWN_METHODS.has(method)) return
  if (WEBDAV_METHODS.has(method)) {
    addSign(signs, 0.3, 'endpoint.method', 'method', `a WebDAV method: ${method}`)
  } else if (method === 'TRACE' || method === 'TRACK' || method === 'CONNECT' || method === 'DEBUG') {
    addSign(
      signs,
      0.5,
      'endpoint.method',
      'method',
      `a method for proxies and debuggers: ${method}`,
      'T1595.002'
    )
  } else addSign(signs, 0.76, 'endpoint.method', 'method', 'a method that does not exist', 'T1595.002')
}

/** Five letters or digits in a row as escapes: RFC 3986 2.3 has none of them escaped, and no client does. */
const ENCODED_WORD = /(?:%(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a]|3[0-9])){5}/i
const PARAMETERS_MAX = 250

/** Encodings that no browser makes: overlong UTF-8, letters as %u escapes, encoded zeros. */
function addEncodingSigns (url: string, signs: Signs): void {
  if (url.charCodeAt(0) !== 47) addFormSigns(url, signs)
  if (/[\x00-\x1f]/.test(url)) {
    addSign(signs, 0.78, 'endpoint.raw-control', 'url', 'a control character in the target', 'T1190')
  }
  if (!url.includes('%')) return
  if (/%c0%[89ab][0-9a-f]|%c1%[89ab]|%e0%80%|%f0%80%80/i.test(url)) {
    addSign(signs, 0.78, 'endpoint.overlong', 'url', 'overlong UTF-8', 'T1027')
  }
  // `escape()` of old scripts writes %uXXXX for what is not Latin, so full-width letters stand among others
  // of their language.
  if (/%u00[2-7][0-9a-f]/i.test(url)) {
    addSign(signs, 0.78, 'endpoint.unicode-escape', 'url', 'ASCII written as %u escapes', 'T1027')
  } else if (/%uff[0-5][0-9a-f]/i.test(url)) {
    addSign(
      signs,
      /%u(?!ff)/i.test(url) ? 0.2 : 0.76,
      'endpoint.unicode-escape',
      'url',
      'letters written as %u escapes',
      'T1027'
    )
  }
  if (/%[4-7][0-9a-f](?:%[4-7][0-9a-f]){3}/i.test(url) && ENCODED_WORD.test(url)) {
    addSign(signs, 0.76, 'endpoint.encoded-letters', 'url', 'plain letters written as escapes', 'T1027')
  }
  if (/(?:%25(?:[2-7]|%3[2-7])(?:[0-9a-f]|%[34][0-9a-f])){6}/i.test(url)) {
    addSign(signs, 0.5, 'endpoint.encoded-twice', 'url', 'letters escaped twice', 'T1027')
  }
  if (/%(?![0-9a-f]{2}|u[0-9a-f]{4})/i.test(url)) {
    addSign(signs, 0.12, 'endpoint.broken-escape', 'url', 'an escape that is none')
  }
  if (/%f[5-7](?:%[89ab][0-9a-f]){3}|%ed%[ab][0-9a-f]%[89ab]/i.test(url)) {
    addSign(signs, 0.76, 'endpoint.impossible-utf8', 'url', 'UTF-8 beyond Unicode', 'T1027')
  } else if (/%(?:c0|c1|f[5-9a-f])/i.test(url)) {
    addSign(signs, 0.12, 'endpoint.not-utf8', 'url', 'bytes that are no UTF-8')
  }
  if (/%00/.test(url)) addSign(signs, 0.6, 'endpoint.null', 'url', 'an encoded zero byte', 'T1027')
}

/** A target that is a whole URL is for proxies; `*` is for OPTIONS. */
function addFormSigns (url: string, signs: Signs): void {
  if (url === '*' || url === '') return
  if (/^(?:https?|wss?):\/\//i.test(url)) {
    addSign(
      signs,
      0.3,
      'endpoint.absolute-target',
      'url',
      'a whole URL for a target, as for a proxy',
      'T1090'
    )
  } else addSign(signs, 0.78, 'endpoint.target', 'url', 'a target that is no path', 'T1190')
}

function isForm (view: RequestView): boolean {
  return (headerOf(view, 'content-type') ?? '').startsWith('application/x-www-form-urlencoded')
}

function addSessionSigns (observation: Observation, view: RequestView, signs: Signs): void {
  const { body } = observation
  const inQuery = view.query !== '' && maySpeakOfSessions(view.query)
  const inBody = body !== null && body.length >= 2 && (observation.method === 'POST' || observation.method === 'PUT')
  if (!inQuery && !inBody) return
  const isForeign = isForeignReferer(headerOf(view, 'referer'), headerOf(view, 'host'))
  if (inQuery) {
    addSign(
      signs,
      addSessionNameSigns(view.query, view.path, isForeign),
      'endpoint.session-fixation',
      'query',
      'a session id handed in by another page',
      'T1563'
    )
  }
  if (!inBody || !isForeign) return
  const text = textOf(body)
  // A GraphQL document names fields, not parameters.
  if (text.includes('"query"') || !maySpeakOfSessions(text)) return
  addSign(
    signs,
    addSessionNameSigns(text.charCodeAt(0) === 123 ? formOf(text) : text, view.path, true),
    'endpoint.session-fixation',
    'body',
    'a session id handed in by another page',
    'T1563'
  )
}

/** The names of a flat JSON object as form pairs. */
function formOf (text: string): string {
  return text.replace(/[{}"\s]/g, '').replaceAll(':', '=').replaceAll(',', '&')
}

function textOf (body: Uint8Array): string {
  return asBuffer(body).toString('latin1', 0, Math.min(body.length, BODY_MAX))
}
