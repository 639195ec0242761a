/**
 * How an Observation and its Score lie in a slot of the ring. All text of a request is written by one call and cut by
 * its lengths on the other side; history is numbers; the body is copied as it came. A score is numbers too, and the
 * evidence of each factor, where there is any, one piece of JSON that the reader keeps by its text.
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

// A result: 24 words, then text.
const KIND = 0
const VALUE = 1
const CONTRIBUTIONS = 2
const GRADE = 9
const FLAGS = 10
const POLICY = 11
const NOT_INSPECTED_BYTES = 12
const EVIDENCE_BYTES = 13
const RESULT_TEXT_AT = 96

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

/** Writes the thread's answer over the request. `policy`: the number of the policy under which it was scored. */
export function encodeScore (ring: Ring, slot: number, score: Score | null, policy: number): void {
  const { words, bytes } = ring
  const at = slotOffset(slot)
  const word = at >> 2
  if (score === null) {
    words[word + KIND] = FAILED
    return
  }
  words[word + VALUE] = Math.round(score.value * 100)
  words[word + GRADE] = GRADES.indexOf(score.grade)
  words[word + FLAGS] = (score.decoy ? DECOY : 0) | (score.automation ? AUTOMATION : 0) | (score.anomaly ? ANOMALY : 0)
  words[word + POLICY] = policy
  let from = RESULT_TEXT_AT
  for (let i = 0; i < FACTOR_NAMES.length; i++) {
    const factor = score.factors[i] as FactorContribution
    words[word + CONTRIBUTIONS + i] = Math.round(factor.contribution * 100)
    const written = factor.evidence.length === 0 ? 0 : writeText(bytes, at, from, JSON.stringify(factor.evidence))
    words[word + EVIDENCE_BYTES + i] = written
    from += written
  }
  const written = score.notInspected.length === 0 ? 0 : writeText(bytes, at, from, JSON.stringify(score.notInspected))
  words[word + NOT_INSPECTED_BYTES] = written
  words[word + KIND] = from + written > SLOT_BYTES ? TOO_WIDE : SCORED
}

/** Bytes written, or more than a slot holds when there is no room. */
function writeText (bytes: Buffer, slotAt: number, from: number, text: string): number {
  if (from + text.length * 3 > SLOT_BYTES && from + Buffer.byteLength(text) > SLOT_BYTES) return SLOT_BYTES
  return bytes.write(text, slotAt + from, SLOT_BYTES - from, 'utf8')
}

/** Reads results; keeps the evidence it read, since the same few pieces come with most requests. */
export interface ScoreReader {
  /** Null when the scorer threw; 'too wide' when the observation must be asked again by message. */
  read (ring: Ring, slot: number, policyVersions: readonly string[]): Score | null | 'too wide'
}

/** Bytes of evidence kept for later answers. */
const EVIDENCE_KEPT_BYTES_MAX = 1_048_576

export function createScoreReader (): ScoreReader {
  let kept = new Map<string, Evidence[]>()
  let keptBytes = 0

  function evidenceAt (bytes: Buffer, from: number, length: number): Evidence[] {
    // The bytes as text serve as key; only what is new is parsed.
    const key = bytes.toString('latin1', from, from + length)
    const known = kept.get(key)
    if (known !== undefined) return known
    const evidence = JSON.parse(bytes.toString('utf8', from, from + length)) as Evidence[]
    if (keptBytes > EVIDENCE_KEPT_BYTES_MAX) {
      kept = new Map()
      keptBytes = 0
    }
    kept.set(key, evidence)
    keptBytes += 4 * length
    return evidence
  }

  return {
    read ({ words, bytes }, slot, policyVersions) {
      const at = slotOffset(slot)
      const word = at >> 2
      const kind = words[word + KIND]
      if (kind === FAILED) return null
      if (kind === TOO_WIDE) return 'too wide'
      let from = at + RESULT_TEXT_AT
      const factors: FactorContribution[] = []
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const length = words[word + EVIDENCE_BYTES + i] as number
        const contribution = words[word + CONTRIBUTIONS + i] as number
        factors.push({ name: FACTOR_NAMES[i] as FactorContribution['name'], contribution: contribution / 100, evidence: length === 0 ? [] : evidenceAt(bytes, from, length) })
        from += length
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
