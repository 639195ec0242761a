import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { addBreadthSigns, addFailureSigns, noveltyOf } from '../../src/detect/factors/breadth.ts'
import { measureBehavior } from '../../src/detect/factors/behavior.ts'
import { measureEndpoint } from '../../src/detect/factors/endpoint.ts'
import { measureFrequency } from '../../src/detect/factors/frequency.ts'
import { measureHeaders } from '../../src/detect/factors/headers.ts'
import { evidenceOfSign, findingsOf, inspectPayload } from '../../src/detect/factors/payload.ts'
import { measureTiming } from '../../src/detect/factors/timing.ts'
import { measureUserAgent } from '../../src/detect/factors/user-agent.ts'
import { NAME_FIELD } from '../../src/detect/payload/findings.ts'
import type { PlaceKind, Subject } from '../../src/detect/payload/findings.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { viewRequest } from '../../src/detect/request-view.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import { classifyAgent } from '../../src/detect/signs/agents.ts'
import { matchTokenHead } from '../../src/detect/signs/bearer-token.ts'
import { decoyUrls } from '../../src/detect/signs/decoy-paths.ts'
import { addExhaustingSigns } from '../../src/detect/signs/exhausting.ts'
import { addOverrideSigns } from '../../src/detect/signs/method-override.ts'
import { addPartHeadSigns } from '../../src/detect/signs/part-heads.ts'
import { matchScannerPath } from '../../src/detect/signs/scanner-paths.ts'
import { addSessionNameSigns, isForeignReferer, maySpeakOfSessions } from '../../src/detect/signs/session-fixation.ts'
import type { Run } from './linear-growth.ts'
import { observation } from './observations.ts'

/**
 * How each detector, sign and factor is given a text. What is in the folders and not here is a fault of the test that
 * reads this, so that none can be left out.
 */
const folder = (name: string): string[] => readdirSync(new URL(`../../src/detect/${name}/`, import.meta.url)).sort()

type Given = (...given: never[]) => unknown

/** Every exported function of a folder, by name, with its file. */
export async function exportedFunctions (name: string): Promise<Map<string, { file: string, run: Given }>> {
  const found = new Map<string, { file: string, run: Given }>()
  for (const file of folder(name)) {
    const loaded = await import(`../../src/detect/${name}/${basename(file)}`) as Record<string, unknown>
    for (const [key, value] of Object.entries(loaded)) {
      if (typeof value === 'function') found.set(key, { file: `${name}/${file}`, run: value as Given })
    }
  }
  return found
}

/** Functions of the detectors' folder that are given something else than a subject. */
export const READERS: Record<string, (reader: Given) => Run> = {
  // Signs of one rule each: the most that detectors find.
  dropRepeatedSigns: (drop) => (text) => drop(text.slice(0, 40).split('').map((rule) => ({ rule, value: 1 })) as never, 0 as never),
  tokenizeSql: (read) => (text) => ['', "'", '"', '`'].map((context) => read(text as never, context as never)),
  tokenizeHtml: (read) => (text) => read(text as never),
  resolveLookups: (read) => (text) => read(text as never),
  addPrototypeSigns: (add) => (text) => add(subjectOf(text, 'json', 'q', false) as never, text.toLowerCase() as never)
}

/** A subject whose every gate is open: all characters and all words are said to be there. */
export function subjectOf (text: string, kind: PlaceKind, field: string, document: boolean): Subject {
  const flat = text.toLowerCase().replace(/[\u0001-\u0020]+/g, ' ')
  return { kind, field, text, flat, characters: ~0, words: ~0, document, signs: [], leftOut: [] }
}

/** What a detector may ask a subject for. */
export const VIEWS: Array<[kind: PlaceKind, field: string, document: boolean]> = [
  ['form', 'q', false],
  ['path', NAME_FIELD, false],
  ['header', 'user-agent', false],
  ['text', 'url', true]
]

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })

const SESSION = 'sessionid='

export const SIGNS: Record<string, Run> = {
  addExhaustingSigns: (text) => addExhaustingSigns(asked(text).history, { found: null }),
  classifyAgent: (text) => classifyAgent(text),
  // Of the configuration: no request's text.
  decoyUrls: (text) => decoyUrls([text]),
  matchTokenHead: (text) => matchTokenHead(`Bearer ${text}`) ?? matchTokenHead(`Bearer eyJ${text}.a`),
  addOverrideSigns: (text) => addOverrideSigns(viewRequest(asked(text)), Buffer.from(text), true, { found: null }),
  addPartHeadSigns: (text) => addPartHeadSigns(Buffer.from(text), { found: null }),
  matchScannerPath: (text) => matchScannerPath('/' + text),
  maySpeakOfSessions: (text) => maySpeakOfSessions(text),
  addSessionNameSigns: (text) => addSessionNameSigns(SESSION + text, text, true),
  isForeignReferer: (text) => isForeignReferer('https://' + text, text)
}

export const FACTORS: Record<string, Run> = {
  measureFrequency: (text) => measureFrequency(asked(text), policy),
  measureTiming: (text) => measureTiming(asked(text), viewRequest(asked(text)), policy),
  measureUserAgent: (text) => measureUserAgent(viewRequest(asked(text)), policy),
  measureBehavior: (text) => measureBehavior(asked(text), viewRequest(asked(text)), policy),
  addBreadthSigns: (text) => addBreadthSigns(asked(text).history!, 1, { found: null }),
  addFailureSigns: (text) => addFailureSigns(asked(text).history!, { found: null }),
  noveltyOf: (text) => noveltyOf(asked(text).history!),
  measureEndpoint: (text) => measureEndpoint(asked(text), viewRequest(asked(text)), policy),
  measureHeaders: (text) => measureHeaders(viewRequest(asked(text)), policy, Buffer.from(text)),
  evidenceOfSign: (text) => evidenceOfSign({ rule: 'sqli.raw', grade: 'certain', place: text, match: text }),
  findingsOf: (text) => findingsOf(observation({ url: '/?q=' + text })),
  // In every place of a request: PLACES.
  inspectPayload: (text) => inspectPayload(observation({ url: '/?q=' + text }), { sensitivity: 2 })
}

const HEADER_NAMES = [
  'User-Agent', 'Referer', 'Cookie', 'Content-Type', 'Authorization', 'Range', 'Accept', 'Accept-Language', 'X-A',
  'Sec-CH-UA', 'Sec-CH-UA-Platform', 'Origin', 'X-Forwarded-For', 'Transfer-Encoding', 'Connection', 'Host', 'Via',
  'X-HTTP-Method-Override', 'Content-Length', 'Accept-Encoding', 'Cache-Control', 'If-None-Match', 'X-Request-Id'
]

/** A request that says the same everywhere, as nobody would. */
function asked (text: string): Observation {
  return observation({
    method: 'POST',
    url: `/${text}?_method=${text}`,
    headers: HEADER_NAMES.flatMap((name) => [name, text]),
    body: Buffer.from(text),
    route: null
  })
}

/** Characters of a request's line and of all its headers: Node's own bound. */
const HEAD_CHARACTERS_MAX = 16_384
const BODY_CHARACTERS_MAX = 65_536

interface Place { charactersMax: number, put: (text: string) => Partial<Observation> }

/** Bodies and places of a request with the text in them. */
export const PLACES: Record<string, Place> = {
  path: inHead((text) => ({ url: '/' + text })),
  query: inHead((text) => ({ url: '/items?q=' + text })),
  'encoded query': inHead((text) => ({ url: '/items?q=' + encodeURIComponent(wellFormed(text)) })),
  header: inHead((text) => ({ headers: ['X-A', text] })),
  agent: inHead((text) => ({ headers: ['User-Agent', text] })),
  referer: inHead((text) => ({ headers: ['Referer', text] })),
  cookie: inHead((text) => ({ headers: ['Cookie', 'a=' + text] })),
  JSON: inBody('application/json', (text) => JSON.stringify({ note: text })),
  'names of JSON': inBody('application/json', (text) => JSON.stringify({ [text]: 1 })),
  'text as JSON': inBody('application/json', (text) => text),
  form: inBody('application/x-www-form-urlencoded', (text) => 'note=' + text),
  'encoded form': inBody('application/x-www-form-urlencoded', (text) => 'note=' + encodeURIComponent(wellFormed(text))),
  'GraphQL literal': inGraphql((text) => `{ a(b: ${JSON.stringify(text)}) }`),
  'GraphQL document': inGraphql((text) => text),
  XML: inBody('application/xml', (text) => `<a>${text}</a>`),
  'XML tag': inBody('application/xml', (text) => `<a ${text}>b</a>`),
  multipart: inBody('multipart/form-data; boundary=b', (text) => part('name="a"', text)),
  'part head': inBody('multipart/form-data; boundary=b', (text) => part(`name="a"; filename="${text}"`, 'c')),
  parts: inBody('multipart/form-data; boundary=b', (text) => text),
  text: inBody('text/plain', (text) => text),
  'no type': inBody('', (text) => text)
}

function inHead (put: Place['put']): Place {
  return { charactersMax: HEAD_CHARACTERS_MAX, put }
}

function inBody (type: string, write: (text: string) => string): Place {
  const headers = type === '' ? [] : ['Content-Type', type]
  const put: Place['put'] = (text) => ({ method: 'POST', headers, body: Buffer.from(write(text)) })
  return { charactersMax: BODY_CHARACTERS_MAX, put }
}

function inGraphql (write: (text: string) => string): Place {
  const { charactersMax, put } = inBody('application/json', (text) => JSON.stringify({ query: write(text) }))
  return { charactersMax, put: (text) => ({ ...put(text), url: '/graphql', route: '/graphql' }) }
}

function part (head: string, content: string): string {
  return `--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n${content}\r\n--b--\r\n`
}

function wellFormed (text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed()
}
