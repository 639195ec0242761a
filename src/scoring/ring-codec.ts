/**
 * How an Observation and its Score lie in a slot of the ring. All text of a request is written by one call and cut by
 * its lengths on the other side; history is numbers; the body is copied as it came. A score is numbers too, and the
 * evidence of each factor, where there is any, one piece of JSON, or the number under which it was sent before.
 */
import { HISTORY_LENGTH, decodeHistory, encodeHistory } from './history-shapes.ts'
import { SLOT_BYTES, slotOffset } from './ring.ts'
import { FACTOR_NAMES } from './shapes.ts'
import type { Ring } from './ring.ts'
import type { Evidence, FactorContribution, Grade, Observation, Score } from './shapes.ts'

// A request: 16 words, the numbers (time, history), the lengths of the header texts, all text, the body.
const TEXT_BYTES = 0
const BODY_BYTES = 1
const HEADERS = 2
const METHOD_LENGTH = 3
const URL_LENGTH = 4
const ROUTE_LENGTH = 5
const CLIENT_LENGTH = 6
const ID_LENGTH = 7
const HAS_HISTORY = 8
const NUMBERS_AT = 64
const LENGTHS_AT = NUMBERS_AT + 8 * (1 + HISTORY_LENGTH)

// A result: 28 words, then text.
const KIND = 0
const VALUE = 1
const CONTRIBUTIONS = 2
const GRADE = 9
const FLAGS = 10
const POLICY = 11
const NOT_INSPECTED_BYTES = 12
const EVIDENCE_BYTES = 13
const EVIDENCE_NUMBER = 20
const RESULT_TEXT_AT = 112

const GRADES: ReadonlyArray<Grade | null> = [null, 'weak', 'likely', 'certain']
const DECOY = 1
const AUTOMATION = 2
const ANOMALY = 4

/** What a slot holds after the thread was there: a score, nothing (the scorer threw), or a score too wide for the slot. */
export const SCORED = 1
export const FAILED = 2
export const TOO_WIDE = 3

/** Writes a request; false when it does not fit, and then the slot's content means nothing. */
export function encodeObservation (ring: Ring, slot: number, observation: Observation): boolean {
  const { words, floats, shorts, bytes } = ring
  const { headers, body, history, method, url, client, id } = observation
  const route = observation.route
  const at = slotOffset(slot)
  const count = headers.length
  const textAt = LENGTHS_AT + 2 * count
  const bodyBytes = body === null ? 0 : body.length
  const room = SLOT_BYTES - textAt - bodyBytes
  if (room < 0) return false

  let text = method + url + client + id
  if (route !== null) text += route
  const lengthsAt = (at + LENGTHS_AT) >> 1
  for (let i = 0; i < count; i++) {
    const header = headers[i] as string
    if (header.length > 0xffff) return false
    shorts[lengthsAt + i] = header.length
    // Not join: that copies once more.
    text += header
  }
  // UTF-8 takes up to three bytes for each unit; half a surrogate pair would not come back as it was.
  if (text.length * 3 > room && (text.length > room || Buffer.byteLength(text) > room)) return false
  if (!text.isWellFormed()) return false
  const textBytes = bytes.write(text, at + textAt, room, 'utf8')
  if (body !== null) bytes.set(body, at + textAt + textBytes)

  const word = at >> 2
  words[word + TEXT_BYTES] = textBytes
  words[word + BODY_BYTES] = body === null ? -1 : bodyBytes
  words[word + HEADERS] = count
  words[word + METHOD_LENGTH] = method.length
  words[word + URL_LENGTH] = url.length
  words[word + ROUTE_LENGTH] = route === null ? -1 : route.length
  words[word + CLIENT_LENGTH] = client.length
  words[word + ID_LENGTH] = id.length
  words[word + HAS_HISTORY] = history === null ? 0 : 1
  const number = (at + NUMBERS_AT) >> 3
  floats[number] = observation.at
  if (history !== null) encodeHistory(history, floats, number + 1)
  return true
}

/** The request of a slot, with a body of its own: the slot takes the result next. */
export function decodeObservation (ring: Ring, slot: number): Observation {
  const { words, floats, shorts, bytes } = ring
  const at = slotOffset(slot)
  const word = at >> 2
  const count = words[word + HEADERS] as number
  const textAt = at + LENGTHS_AT + 2 * count
  const bodyAt = textAt + (words[word + TEXT_BYTES] as number)
  const bodyBytes = words[word + BODY_BYTES] as number
  const text = bytes.toString('utf8', textAt, bodyAt)
  let from = 0
  const cut = (length: number): string => {
    from += length
    return text.slice(from - length, from)
  }
  const method = cut(words[word + METHOD_LENGTH] as number)
  const url = cut(words[word + URL_LENGTH] as number)
  const client = cut(words[word + CLIENT_LENGTH] as number)
  const id = cut(words[word + ID_LENGTH] as number)
  const routeLength = words[word + ROUTE_LENGTH] as number
  const route = routeLength < 0 ? null : cut(routeLength)
  const headers: string[] = []
  const lengthsAt = (at + LENGTHS_AT) >> 1
  for (let i = 0; i < count; i++) headers.push(cut(shorts[lengthsAt + i] as number))
  const number = (at + NUMBERS_AT) >> 3
  return {
    id,
    at: floats[number] as number,
    client,
    method,
    url,
    headers,
    body: bodyBytes < 0 ? null : new Uint8Array(bytes.subarray(bodyAt, bodyAt + bodyBytes)),
    route,
    history: words[word + HAS_HISTORY] === 0 ? null : decodeHistory(floats, number + 1)
  }
}

/** Evidence lists that both sides know by number, and the longest text of one worth it: some 2 MB on each side at most. */
const KEPT_MAX = 512
const KEPT_TEXT_MAX = 2_048

/** The thread's side of results. One for each ring: it and the ring's reader number the evidence alike. */
export interface ScoreWriter {
  /** Writes the thread's answer over the request. `policy`: the number of the policy under which it was scored. */
  write (ring: Ring, slot: number, score: Score | null, policy: number): void
}

export function createScoreWriter (): ScoreWriter {
  const numbers = new Map<string, number>()
  /** By number less one. */
  const keys: string[] = []
  let next = 0
  /** Numbers given in the result at hand: void when it does not fit. */
  let fresh: number[] = []

  /** Bytes written for one factor's evidence: none when main knows it by its number. */
  function writeEvidence (ring: Ring, at: number, from: number, factor: number, evidence: readonly Evidence[]): number {
    const { words, bytes } = ring
    const numberAt = (at >> 2) + EVIDENCE_NUMBER + factor
    words[numberAt] = 0
    if (evidence.length === 0) return 0
    const key = keyOf(evidence)
    const known = numbers.get(key)
    if (known !== undefined) {
      words[numberAt] = known
      return 0
    }
    if (key.length <= KEPT_TEXT_MAX) words[numberAt] = give(key)
    return writeText(bytes, at, from, JSON.stringify(evidence))
  }

  /** The oldest number when all are given. */
  function give (key: string): number {
    const old = keys[next]
    if (old !== undefined) numbers.delete(old)
    keys[next] = key
    next = (next + 1) % KEPT_MAX
    const number = next === 0 ? KEPT_MAX : next
    numbers.set(key, number)
    fresh.push(number)
    return number
  }

  function forgetFresh (): void {
    for (const number of fresh) numbers.delete(keys[number - 1] as string)
  }

  return {
    write (ring, slot, score, policy) {
      const { words, bytes } = ring
      const at = slotOffset(slot)
      const word = at >> 2
      if (score === null) {
        words[word + KIND] = FAILED
        return
      }
      if (fresh.length > 0) fresh = []
      words[word + VALUE] = Math.round(score.value * 100)
      words[word + GRADE] = GRADES.indexOf(score.grade)
      words[word + FLAGS] = (score.decoy ? DECOY : 0) | (score.automation ? AUTOMATION : 0) | (score.anomaly ? ANOMALY : 0)
      words[word + POLICY] = policy
      let from = RESULT_TEXT_AT
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const factor = score.factors[i] as FactorContribution
        words[word + CONTRIBUTIONS + i] = Math.round(factor.contribution * 100)
        const written = writeEvidence(ring, at, from, i, factor.evidence)
        words[word + EVIDENCE_BYTES + i] = written
        from += written
      }
      const written = score.notInspected.length === 0 ? 0 : writeText(bytes, at, from, JSON.stringify(score.notInspected))
      words[word + NOT_INSPECTED_BYTES] = written
      const isTooWide = from + written > SLOT_BYTES
      words[word + KIND] = isTooWide ? TOO_WIDE : SCORED
      if (isTooWide) forgetFresh()
    }
  }
}

/** Two lists have one key only if they are equal: what comes from outside stands last, after its length. */
function keyOf (evidence: readonly Evidence[]): string {
  let key = ''
  for (const { rule, grade, technique, place, text } of evidence) key += `${rule} ${grade} ${technique} ${place.length} ${text.length} ${place}${text}`
  return key
}

/** Bytes written, or more than a slot holds when there is no room. */
function writeText (bytes: Buffer, slotAt: number, from: number, text: string): number {
  if (from + text.length * 3 > SLOT_BYTES && from + Buffer.byteLength(text) > SLOT_BYTES) return SLOT_BYTES
  return bytes.write(text, slotAt + from, SLOT_BYTES - from, 'utf8')
}

/** Reads results in the order in which they were written; keeps the numbered evidence, since the same few pieces come with most requests. One for each ring. */
export interface ScoreReader {
  /** Null when the scorer threw; 'too wide' when the observation must be asked again by message. */
  read (ring: Ring, slot: number, policyVersions: readonly string[]): Score | null | 'too wide'
}

export function createScoreReader (): ScoreReader {
  const kept: Evidence[][] = []

  function evidenceOf ({ words, bytes }: Ring, word: number, factor: number, from: number): Evidence[] {
    const length = words[word + EVIDENCE_BYTES + factor] as number
    const number = words[word + EVIDENCE_NUMBER + factor] as number
    if (length === 0) return number === 0 ? [] : kept[number] as Evidence[]
    const evidence = JSON.parse(bytes.toString('utf8', from, from + length)) as Evidence[]
    if (number !== 0) kept[number] = evidence
    return evidence
  }

  return {
    read (ring, slot, policyVersions) {
      const { words, bytes } = ring
      const at = slotOffset(slot)
      const word = at >> 2
      const kind = words[word + KIND]
      if (kind === FAILED) return null
      if (kind === TOO_WIDE) return 'too wide'
      let from = at + RESULT_TEXT_AT
      const factors: FactorContribution[] = []
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const contribution = words[word + CONTRIBUTIONS + i] as number
        factors.push({ name: FACTOR_NAMES[i] as FactorContribution['name'], contribution: contribution / 100, evidence: evidenceOf(ring, word, i, from) })
        from += words[word + EVIDENCE_BYTES + i] as number
      }
      const flags = words[word + FLAGS] as number
      const length = words[word + NOT_INSPECTED_BYTES] as number
      return {
        value: (words[word + VALUE] as number) / 100,
        factors,
        grade: GRADES[words[word + GRADE] as number] ?? null,
        decoy: (flags & DECOY) !== 0,
        automation: (flags & AUTOMATION) !== 0,
        anomaly: (flags & ANOMALY) !== 0,
        policyVersion: policyVersions[(words[word + POLICY] as number) % policyVersions.length] as string,
        notInspected: length === 0 ? [] : JSON.parse(bytes.toString('utf8', from, from + length)) as string[],
        source: 'thread',
        degraded: false
      }
    }
  }
}
