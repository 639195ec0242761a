/**
 * How an Observation (detect/observation-codec.ts) and its Score lie in a slot of the ring. A score is numbers; its
 * evidence is lengths and text, or the number under which it was sent before. No JSON: that was a third of the thread's
 * time.
 */
import { decodeObservation, encodeObservation } from '../detect/observation-codec.ts'
import { slotOffset } from './ring.ts'
import { FACTOR_NAMES } from '../detect/shapes.ts'
import type { Ring } from './ring.ts'
import type { Evidence, FactorContribution, Grade, Observation, Score } from '../detect/shapes.ts'

// A result: 28 words and a number, five words for each piece of evidence that is sent, one for each thing not
// inspected, then all text.
const KIND = 0
const VALUE = 1
const CONTRIBUTIONS = 2
const GRADE = 9
const FLAGS = 10
const POLICY = 11
/** Negative: UTF-16, for text with half a surrogate pair, which UTF-8 would not bring back as it was. */
const RESULT_TEXT_BYTES = 12
const EVIDENCE_COUNT = 13
const EVIDENCE_NUMBER = 20
const NOT_INSPECTED = 27
const PAYLOAD_VALUE_AT = 112
const DETAILS_AT = 120
const EVIDENCE_WORDS = 5

const GRADES: ReadonlyArray<Grade | null> = [null, 'weak', 'likely', 'certain']
const DECOY = 1
const AUTOMATION = 2
const ANOMALY = 4
const BEYOND_HEAD = 8
const BEYOND_BODY = 16
const BEYOND_FLAGS = { none: 0, head: BEYOND_HEAD, body: BEYOND_BODY } as const

/**
 * The content of a slot after the thread was there: a score, nothing (the scorer threw), or a score too wide for
 * the slot.
 */
const SCORED = 1
const FAILED = 2
const TOO_WIDE = 3

/** Writes a request; false when it does not fit, and then the slot's content means nothing. */
export function writeRequest (ring: Ring, slot: number, observation: Observation): boolean {
  return encodeObservation(ring, slotOffset(ring, slot), observation)
}

/** The request of a slot, with a body of its own: the slot takes the result next. */
export function readRequest (ring: Ring, slot: number): Observation {
  return decodeObservation(ring, slotOffset(ring, slot))
}

/**
 * Evidence lists that both sides know by number (a power of two), and the longest text of one worth it: some
 * 1 MB on each side at most.
 */
const KEPT_MAX = 512
const KEPT_TEXT_MAX = 2_048
/**
 * Factors whose evidence comes again: what counts a client's requests never says the same twice, and would
 * push the others out.
 */
const RECURRING: readonly boolean[] = FACTOR_NAMES.map((name) =>
  name !== 'frequency' && name !== 'timing' && name !== 'behavior'
)

/** The thread's side of results. One for each ring: it and the ring's reader number the evidence alike. */
interface ScoreWriter {
  /** Writes the thread's answer over the request. `policy`: the number of the policy under which it was scored. */
  write (ring: Ring, slot: number, score: Score | null, policy: number): void
}

export function createScoreWriter (): ScoreWriter {
  /** By number less one. */
  const kept = new Array<readonly Evidence[] | null>(KEPT_MAX).fill(null)
  /** Numbers given in the result at hand, less one: void when it does not fit. */
  let fresh: number[] = []
  let text = ''
  /** The word after the last detail. */
  let detail = 0

  /** Details and text of one factor's evidence, or nothing but its number when main knows it. */
  function writeEvidence (words: Int32Array, word: number, factor: number, evidence: readonly Evidence[]): void {
    words[word + EVIDENCE_NUMBER + factor] = 0
    words[word + EVIDENCE_COUNT + factor] = 0
    if (evidence.length === 0) return
    if (RECURRING[factor] === true) {
      const place = placeOf(evidence)
      if (isSame(kept[place] as readonly Evidence[] | null, evidence)) {
        words[word + EVIDENCE_NUMBER + factor] = place + 1
        return
      }
      if (textLength(evidence) <= KEPT_TEXT_MAX) {
        words[word + EVIDENCE_NUMBER + factor] = place + 1
        kept[place] = evidence
        fresh.push(place)
      }
    }
    words[word + EVIDENCE_COUNT + factor] = evidence.length
    for (const one of evidence) {
      words[detail] = GRADES.indexOf(one.grade)
      words[detail + 1] = one.rule.length
      words[detail + 2] = one.place.length
      words[detail + 3] = one.text.length
      words[detail + 4] = one.technique === null ? -1 : one.technique.length
      detail += EVIDENCE_WORDS
      text += one.rule + one.place + one.text
      if (one.technique !== null) text += one.technique
    }
  }

  /** All that was gathered; false when there is no room for it. */
  function writeText ({ words, bytes, slotBytes }: Ring, at: number): boolean {
    const textAt = detail << 2
    const room = at + slotBytes - textAt
    const isPlain = text.isWellFormed()
    if (isPlain && text.length * 3 > room && (text.length > room || Buffer.byteLength(text) > room)) return false
    if (!isPlain && text.length * 2 > room) return false
    const written = text === '' ? 0 : bytes.write(text, textAt, room, isPlain ? 'utf8' : 'utf16le')
    words[(at >> 2) + RESULT_TEXT_BYTES] = isPlain ? written : -written
    return true
  }

  return {
    write (ring, slot, score, policy) {
      const { words, floats } = ring
      const at = slotOffset(ring, slot)
      const word = at >> 2
      if (score === null) {
        words[word + KIND] = FAILED
        return
      }
      const { factors, notInspected } = score
      if (!hasRoomForDetails(ring, factors, notInspected)) {
        words[word + KIND] = TOO_WIDE
        return
      }
      if (fresh.length > 0) fresh = []
      text = ''
      detail = (at + DETAILS_AT) >> 2
      words[word + VALUE] = Math.round(score.value * 100)
      words[word + GRADE] = GRADES.indexOf(score.grade)
      words[word + FLAGS] = (score.decoy ? DECOY : 0) | (score.automation ? AUTOMATION : 0) |
        (score.anomaly ? ANOMALY : 0) | BEYOND_FLAGS[score.beyond ?? 'none']
      words[word + POLICY] = policy
      floats[(at + PAYLOAD_VALUE_AT) >> 3] = score.payloadValue
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const factor = factors[i] as FactorContribution
        words[word + CONTRIBUTIONS + i] = Math.round(factor.contribution * 100)
        writeEvidence(words, word, i, factor.evidence)
      }
      words[word + NOT_INSPECTED] = notInspected.length
      for (const one of notInspected) {
        words[detail++] = one.length
        text += one
      }
      const fits = writeText(ring, at)
      words[word + KIND] = fits ? SCORED : TOO_WIDE
      if (!fits) for (const place of fresh) kept[place] = null
      text = ''
    }
  }
}

/** Half a slot for what is not text. */
function hasRoomForDetails (
  { slotBytes }: Ring,
  factors: readonly FactorContribution[],
  notInspected: readonly string[]
): boolean {
  let count = notInspected.length
  for (const { evidence } of factors) count += EVIDENCE_WORDS * evidence.length
  return count * 4 <= slotBytes / 2
}

/** Where a list is kept, by a few of its letters: two lists at one place drive each other out, and that is all. */
function placeOf (evidence: readonly Evidence[]): number {
  let hash = evidence.length
  for (const { rule, place, text } of evidence) {
    hash = Math.imul(hash ^ (rule.length << 16) ^ (place.length << 8) ^ text.length, 0x01000193)
    hash = Math.imul(
      hash ^ rule.charCodeAt(rule.length - 1) ^ (text.charCodeAt(text.length >> 1) << 8) ^
        (place.charCodeAt(place.length - 1) << 16),
      0x01000193
    )
  }
  return (hash ^ (hash >>> 15)) & (KEPT_MAX - 1)
}

function isSame (a: readonly Evidence[] | null, b: readonly Evidence[]): boolean {
  if (a === null || a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    const one = a[i] as Evidence
    const other = b[i] as Evidence
    if (
      one !== other &&
      (one.rule !== other.rule || one.text !== other.text || one.place !== other.place ||
        one.grade !== other.grade || one.technique !== other.technique)
    ) {
      return false
    }
  }
  return true
}

function textLength (evidence: readonly Evidence[]): number {
  let length = 0
  for (const { rule, place, text } of evidence) length += rule.length + place.length + text.length
  return length
}

/**
 * Reads results in the order in which they were written; keeps the numbered evidence, since the same few
 * pieces come with most requests. One for each ring.
 */
interface ScoreReader {
  /** Null when the scorer threw; 'too wide' when the observation must be asked again by message. */
  read (ring: Ring, slot: number, policyVersions: readonly string[]): Score | null | 'too wide'
}

export function createScoreReader (): ScoreReader {
  const kept = new Array<Evidence[]>(KEPT_MAX + 1)
  let text = ''
  let from = 0
  let detail = 0

  function cut (length: number): string {
    from += length
    return text.slice(from - length, from)
  }

  function evidenceOf (words: Int32Array, word: number, factor: number): Evidence[] {
    const count = words[word + EVIDENCE_COUNT + factor] as number
    const number = words[word + EVIDENCE_NUMBER + factor] as number
    if (count === 0) return number === 0 ? [] : kept[number] as Evidence[]
    const evidence: Evidence[] = []
    for (let i = 0; i < count; i++) {
      const rule = cut(words[detail + 1] as number)
      const place = cut(words[detail + 2] as number)
      const said = cut(words[detail + 3] as number)
      const techniqueLength = words[detail + 4] as number
      evidence.push({
        rule,
        place,
        grade: GRADES[words[detail] as number] as Grade,
        text: said,
        technique: techniqueLength < 0 ? null : cut(techniqueLength)
      })
      detail += EVIDENCE_WORDS
    }
    if (number !== 0) kept[number] = evidence
    return evidence
  }

  function openText ({ words, bytes }: Ring, word: number): void {
    let details = words[word + NOT_INSPECTED] as number
    for (let i = 0; i < FACTOR_NAMES.length; i++) {
      details += EVIDENCE_WORDS * (words[word + EVIDENCE_COUNT + i] as number)
    }
    detail = word + DETAILS_AT / 4
    from = 0
    const textAt = (detail + details) << 2
    const length = words[word + RESULT_TEXT_BYTES] as number
    text = length === 0
      ? ''
      : length > 0
        ? bytes.toString('utf8', textAt, textAt + length)
        : bytes.toString('utf16le', textAt, textAt - length)
  }

  return {
    read (ring, slot, policyVersions) {
      const { words, floats } = ring
      const at = slotOffset(ring, slot)
      const word = at >> 2
      const kind = words[word + KIND]
      if (kind === FAILED) return null
      if (kind === TOO_WIDE) return 'too wide'
      openText(ring, word)
      const factors: FactorContribution[] = []
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const contribution = words[word + CONTRIBUTIONS + i] as number
        factors.push({
          name: FACTOR_NAMES[i] as FactorContribution['name'],
          contribution: contribution / 100,
          evidence: evidenceOf(words, word, i)
        })
      }
      const flags = words[word + FLAGS] as number
      const notInspected: string[] = []
      for (let left = words[word + NOT_INSPECTED] as number; left > 0; left--) {
        notInspected.push(cut(words[detail++] as number))
      }
      text = ''
      return {
        value: (words[word + VALUE] as number) / 100,
        factors,
        grade: GRADES[words[word + GRADE] as number] ?? null,
        payloadValue: floats[(at + PAYLOAD_VALUE_AT) >> 3] as number,
        decoy: (flags & DECOY) !== 0,
        automation: (flags & AUTOMATION) !== 0,
        anomaly: (flags & ANOMALY) !== 0,
        policyVersion: policyVersions[(words[word + POLICY] as number) % policyVersions.length] as string,
        notInspected,
        beyond: (flags & BEYOND_BODY) !== 0 ? 'body' : (flags & BEYOND_HEAD) !== 0 ? 'head' : null,
        source: 'thread',
        degraded: false
      }
    }
  }
}
