/**
 * A session id that arrives in the query or the form from another site's page: the visitor would log in to the
 * attacker's session (CWE-384). The names are those that frameworks give their session cookie.
 */
import { sequence } from '../../std/regex.ts'

const FRAMEWORK_NAME = sequence([
  /^_?/,
  [
    sequence([
      [
        /php|asp|asp\.net|j|jserv|jw|weblogic|rails|flask|laravel|zend|ci|play|rack|meteor_login|koa|sails/,
        /shiny|django|symfony|cake|tomcat|express|connect/
      ],
      /[._:-]?(?:session(?:[-_]?id)?|sess(?:id|ion)?|sid|token)/
    ]),
    /cakephp|cf(?:token|id|sid)|(?:__(?:host|secure)-)?next-auth\.session-token|connect\.sid|rack\.session/,
    /asp\.net_sessionid|zend_session_id/
  ],
  /$/
])
const GENERIC_NAME = /^_?(?:session[-_]?(?:id|token)|sess[-_]?id)$/
const ENTRANCE = /log-?in|log-?on|sign-?in|auth|session|account|\.(?:php|aspx?|cfm|jsp)$/
/** As many as the payload factor reads, which says so when there are more. */
const PAIRS_MAX = 512

const ANY_NAME = /sess|sid=|cf(?:id|token|sid)|cakephp|[-_]token/i

/** Cheap, and false for nearly all requests. */
export function maySpeakOfSessions (text: string): boolean {
  return ANY_NAME.test(text)
}

/** 0-1. `text` is a query or a form body, `isForeign` whether the page that sent it is another site's. */
export function addSessionNameSigns (text: string, path: string, isForeign: boolean): number {
  let value = 0
  for (const pair of text.split('&', PAIRS_MAX)) {
    const equals = pair.indexOf('=')
    if (equals > 0 && equals < 48) {
      value = Math.max(value, addNameSigns(plainName(pair.slice(0, equals)), path, isForeign))
    }
  }
  return value
}

function plainName (name: string): string {
  return name.replace(/%3a/gi, ':').replace(/%2e/gi, '.').toLowerCase()
}

function addNameSigns (name: string, path: string, isForeign: boolean): number {
  const isFramework = FRAMEWORK_NAME.test(name)
  if (!isFramework && !GENERIC_NAME.test(name)) return 0
  // Old links carry their own session id; that is bad practice and no attack.
  if (!isForeign) return isFramework ? 0.15 : 0.05
  return isFramework || ENTRANCE.test(path.toLowerCase()) ? 0.78 : 0.3
}

/** True when the referer is of another site than the host; by the last two labels, so that subdomains are one site. */
export function isForeignReferer (referer: string | null, host: string | null): boolean {
  if (referer === null || host === null) return false
  const match = /^https?:\/\/([^/:?#]+)/i.exec(referer)
  if (match === null) return false
  return siteOf((match[1] as string).toLowerCase()) !== siteOf((host.split(':')[0] as string).toLowerCase())
}

function siteOf (host: string): string {
  return host.split('.').slice(-2).join('.')
}
