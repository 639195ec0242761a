/**
 * Scored requests as numbers and bytes in memory that is there from the start: a receipt that is kept as it came is
 * some 120 objects, which each collection of young memory copied twice, and which filled the old one. It becomes
 * objects again when somebody asks for it.
 *
 * Owns: places of a fixed size. What does not fit into one (long targets and bodies, halves of characters, samples of
 * others) is kept as it is by whoever owns the line (recent-receipts.ts).
 */
import { FACTOR_NAMES } from '../detect/shapes.ts'
import { decodeObservation, encodeObservation, type SlotMemory } from '../detect/observation-codec.ts'
import type { Recorded } from './receipt.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Evidence, FactorContribution, Grade, Score } from '../detect/shapes.ts'

interface PackedReceipts {
  /** False where it does not fit; the place is free then. */
  put (place: number, receipt: Recorded): boolean
  get (place: number): Recorded
  /** The evidence of a place, without the rest; empty where there was none. */
  hasEvidence (place: number, isWanted: (evidence: Evidence) => boolean): boolean
  /** Lets go of what the place refers to. */
  clear (place: number): void
}

/** A request line, headers of a browser and a small body; history takes a third of it. */
export const PLACE_BYTES = 2_048

// Numbers of a place.
const AT = 0
const STATUS = 1
const VALUE = 2
const PAYLOAD_VALUE = 3
const KINDS = 4
const CONTRIBUTIONS = 5
const NUMBERS = CONTRIBUTIONS + FACTOR_NAMES.length

// What a place refers to. Evidence comes in lists that many receipts share.
const NOT_INSPECTED = FACTOR_NAMES.length
const DECISION = NOT_INSPECTED + 1
const POLICY = DECISION + 1
const ADDRESS = POLICY + 1
const REFERENCES = ADDRESS + 1

const ACTIONS: readonly Action[] = ['ALLOW', 'CHALLENGE', 'BLOCK']
const GRADES: ReadonlyArray<Grade | null> = [null, 'weak', 'likely', 'certain']
const SOURCES: ReadonlyArray<Score['source']> = ['thread', 'inline', 'none']
const BEYONDS: ReadonlyArray<Score['beyond']> = [null, 'head', 'body']
const DECOY = 256
const AUTOMATION = 512
const ANOMALY = 1024
const DEGRADED = 2048
const SIMULATED = 4096

export function createPackedReceipts (places: number): PackedReceipts {
  const memory = openMemory(places)
  const numbers = new Float64Array(places * NUMBERS)
  const references = new Array<unknown>(places * REFERENCES).fill(null)

  function putScore (place: number, { score, verdict }: Recorded): void {
    const at = place * NUMBERS
    const reference = place * REFERENCES
    numbers[at + VALUE] = score.value
    numbers[at + PAYLOAD_VALUE] = score.payloadValue
    numbers[at + KINDS] = kindsOf(score, verdict)
    for (let i = 0; i < FACTOR_NAMES.length; i++) {
      const { contribution, evidence } = score.factors[i] as FactorContribution
      numbers[at + CONTRIBUTIONS + i] = contribution
      references[reference + i] = evidence.length === 0 ? null : evidence
    }
    references[reference + NOT_INSPECTED] = score.notInspected.length === 0 ? null : score.notInspected
    references[reference + POLICY] = score.policyVersion
  }

  function scoreOf (place: number): Score {
    const at = place * NUMBERS
    const reference = place * REFERENCES
    const kinds = numbers[at + KINDS] as number
    return {
      value: numbers[at + VALUE] as number,
      factors: FACTOR_NAMES.map((name, i) => ({
        name,
        contribution: numbers[at + CONTRIBUTIONS + i] as number,
        evidence: references[reference + i] as Evidence[] | null ?? []
      })),
      grade: GRADES[(kinds >> 2) & 3] ?? null,
      payloadValue: numbers[at + PAYLOAD_VALUE] as number,
      decoy: (kinds & DECOY) !== 0,
      automation: (kinds & AUTOMATION) !== 0,
      anomaly: (kinds & ANOMALY) !== 0,
      policyVersion: references[reference + POLICY] as string,
      notInspected: references[reference + NOT_INSPECTED] as string[] | null ?? [],
      beyond: BEYONDS[(kinds >> 6) & 3] ?? null,
      source: SOURCES[(kinds >> 4) & 3] as Score['source'],
      degraded: (kinds & DEGRADED) !== 0
    }
  }

  return {
    put (place, receipt) {
      const { observation, status, decisionId, address, at: atMs } = receipt
      if (receipt.external === true || receipt.isWhole === false) return false
      if (receipt.score.factors.length !== FACTOR_NAMES.length) return false
      if (!encodeObservation(memory, place * PLACE_BYTES, observation)) return false
      const at = place * NUMBERS
      const reference = place * REFERENCES
      numbers[at + AT] = atMs
      numbers[at + STATUS] = status
      references[reference + DECISION] = decisionId
      references[reference + ADDRESS] = observation.client === `ip:${address}` ? null : address
      putScore(place, receipt)
      return true
    },
    get (place) {
      const at = place * NUMBERS
      const reference = place * REFERENCES
      const observation = decodeObservation(memory, place * PLACE_BYTES)
      const kinds = numbers[at + KINDS] as number
      return {
        observation,
        score: scoreOf(place),
        verdict: { action: ACTIONS[kinds & 3] as Action, simulated: (kinds & SIMULATED) !== 0 },
        status: numbers[at + STATUS] as number,
        decisionId: references[reference + DECISION] as string | null,
        address: references[reference + ADDRESS] as string | null ?? observation.client.slice('ip:'.length),
        at: numbers[at + AT] as number
      }
    },
    hasEvidence (place, isWanted) {
      const reference = place * REFERENCES
      for (let i = 0; i < FACTOR_NAMES.length; i++) {
        const evidence = references[reference + i] as Evidence[] | null
        if (evidence !== null && evidence.some(isWanted)) return true
      }
      return false
    },
    clear (place) {
      references.fill(null, place * REFERENCES, (place + 1) * REFERENCES)
    }
  }
}

/** Taken from the system as it is touched. */
function openMemory (places: number): SlotMemory {
  const memory = new ArrayBuffer(places * PLACE_BYTES)
  return {
    words: new Int32Array(memory),
    floats: new Float64Array(memory),
    shorts: new Uint16Array(memory),
    bytes: Buffer.from(memory),
    slotBytes: PLACE_BYTES
  }
}

function kindsOf (score: Score, { action, simulated }: Recorded['verdict']): number {
  return ACTIONS.indexOf(action) | (GRADES.indexOf(score.grade) << 2) | (SOURCES.indexOf(score.source) << 4) |
    (BEYONDS.indexOf(score.beyond) << 6) | (score.decoy ? DECOY : 0) | (score.automation ? AUTOMATION : 0) |
    (score.anomaly ? ANOMALY : 0) | (score.degraded ? DEGRADED : 0) | (simulated ? SIMULATED : 0)
}
