/**
 * Reading single facts out of texts of others: text, names, addresses, dates, countries. Pure; never throws;
 * anything odd becomes null or is left out.
 */
import { foldName } from './match.ts'
import { BOUNDS, type Reference, type Technique } from './shapes.ts'

export type Fields = Record<string, unknown>

/** A plain object, or null. */
export function asFields (value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : null
}

/** A list of at most `itemsMax` items; anything else is an empty one. */
export function asList (value: unknown, itemsMax: number): unknown[] {
  return Array.isArray(value) ? value.slice(0, itemsMax) : []
}

/** Strings of a list, or the string alone: both occur in MISP for the same key. */
export function asTexts (value: unknown, itemsMax: number, charsMax: number): string[] {
  const items = typeof value === 'string' ? [value] : asList(value, itemsMax)
  return items.map((item) => asText(item, charsMax)).filter((text) => text !== null)
}

/** Trimmed, without control characters and lone surrogates, cut at a whole character; null when nothing is left. */
export function asText (value: unknown, charsMax: number): string | null {
  if (typeof value !== 'string') return null
  // Four times the bound leaves room for the characters that are removed, and keeps a megabyte of blanks cheap.
  const text = value.slice(0, charsMax * 4).toWellFormed().replace(
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
    ''
  ).trim()
  if (text === '') return null
  return text.length <= charsMax ? text : text.slice(0, charsMax).replace(/[\ud800-\udbff]$/, '')
}

/** ATT&CK's descriptions carry Markdown links and citation marks; readers want the sentence. */
export function asDescription (value: unknown): string | null {
  const text = asText(value, BOUNDS.descriptionChars * 2)
  if (text === null) return null
  const plain = text.replace(/\(Citation: [^()]{1,200}\)/g, '')
    .replace(/\[([^\][]{1,200})\]\(https?:[^()\s]{1,500}\)/g, '$1')
  return asText(plain, BOUNDS.descriptionChars)
}

/** A group of ATT&CK (`G0016`). */
export function isAttackId (text: string): boolean {
  return /^G\d{4}$/.test(text)
}

/** ATT&CK group ids in addresses of its site. */
export function attackIdsOfUrls (urls: string[]): string[] {
  return urls.flatMap((url) =>
    /^https?:\/\/attack\.mitre\.org\/(?:wiki\/)?groups?\/(G\d{4})/i.exec(url)?.[1]?.toUpperCase() ?? []
  )
}

/** http and https only (a `javascript:` reference would run in somebody's page), no credentials in it. */
export function asReference (url: unknown, name: unknown): Reference | null {
  const text = asText(url, BOUNDS.urlChars)
  if (
    text === null || text.length >= BOUNDS.urlChars || !/^https?:\/\/[^\s/]/i.test(text) ||
    !URL.canParse(text)
  ) {
    return null
  }
  const parsed = new URL(text)
  if (parsed.username !== '' || parsed.password !== '') return null
  return { url: text.replace(/\s/g, '%20'), name: asText(name, BOUNDS.referenceNameChars) }
}

/** A technique of ATT&CK (`T1059` or `T1059.001`), or null when the id is none. */
export function asTechnique (id: unknown, name: unknown): Technique | null {
  return typeof id === 'string' && /^T\d{4}(\.\d{3})?$/.test(id) ? { id, name: asText(name, BOUNDS.nameChars) } : null
}

/**
 * Dates stand in several precisions: 2017, 2017-04, 2017-04-03, 2017-04-03T10:00:00Z. `edge` says which end of the
 * span is meant. ms since the epoch, or null.
 */
export function asMoment (value: unknown, edge: 'start' | 'end'): number | null {
  const text = typeof value === 'number' ? String(value) : asText(value, 40)
  const match = text === null
    ? null
    : /^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/i.exec(text)
  if (match === null || text === null) return null
  const [, year, month, day, time] = match
  if (time !== undefined) {
    return day === undefined
      ? null
      : bounded(Date.parse(/(Z|[+-]\d\d:\d\d)$/i.test(time) ? text : `${text}Z`))
  }
  const y = Number(year)
  const m = month === undefined ? null : Number(month) - 1
  const d = day === undefined ? null : Number(day)
  if ((m !== null && (m < 0 || m > 11)) || (d !== null && (d < 1 || d > daysIn(y, m!)))) return null
  if (edge === 'start') return bounded(Date.UTC(y, m ?? 0, d ?? 1))
  return bounded(Date.UTC(m === null ? y + 1 : y, m === null ? 0 : d === null ? m + 1 : m, d === null ? 1 : d + 1) - 1)
}

function daysIn (year: number, month: number): number {
  return new Date(Date.UTC(year, month + 1, 0)).getUTCDate()
}

/** Between 1970 and 2100: outside is a slip of the pen. */
function bounded (ms: number): number | null {
  return Number.isFinite(ms) && ms >= 0 && ms < 4_102_444_800_000 ? ms : null
}

const ACTIVITY = 'active|activity|operating|operational|operations|operated|existed|conducting|observed'
const ACTIVE_SINCE = new RegExp(
  `\\b(?:${ACTIVITY})\\b[^.]{0,60}?\\bsince\\b[^.\\d]{0,30}((?:19[89]|20\\d)\\d)\\b`,
  'i'
)

/** "active since at least 2014" in a description. The start of that year, or null. */
export function sinceOfText (description: string | null): number | null {
  const match = description === null ? null : ACTIVE_SINCE.exec(description)
  return match === null ? null : asMoment(match[1], 'start')
}

/** Names of countries as CFR and MISP write them; codes pass. Only those that occur as sponsors. */
const COUNTRY_CODES: Record<string, string> = {
  china: 'CN',
  peoplesrepublicofchina: 'CN',
  iran: 'IR',
  iranislamicrepublicof: 'IR',
  russia: 'RU',
  russianfederation: 'RU',
  northkorea: 'KP',
  koreademocraticpeoplesrepublicof: 'KP',
  southkorea: 'KR',
  korearepublicof: 'KR',
  unitedstates: 'US',
  unitedstatesofamerica: 'US',
  palestine: 'PS',
  pakistan: 'PK',
  india: 'IN',
  belarus: 'BY',
  france: 'FR',
  unitedarabemirates: 'AE',
  vietnam: 'VN',
  spain: 'ES',
  israel: 'IL',
  lebanon: 'LB',
  turkey: 'TR',
  syria: 'SY',
  ukraine: 'UA',
  unitedkingdom: 'GB'
}

/** ISO 3166-1 alpha-2, or null. */
export function asCountry (value: unknown): string | null {
  const text = asText(value, 100)
  if (text === null) return null
  if (/^[a-z]{2}$/i.test(text)) return text.toUpperCase()
  const fold = foldName(text)
  return Object.hasOwn(COUNTRY_CODES, fold) ? COUNTRY_CODES[fold]! : null
}
