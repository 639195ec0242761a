import { allowableSigns, type AllowableSign } from '../detect/allowable.ts'
import { asBuffer } from '../detect/bytes.ts'
import { isSecretPlace, redactFactors } from './redact-evidence.ts'
import { isMaskedAt, redactPath } from './redact.ts'
import { restoreObservation } from './replay.ts'
import { isAllowableSign, type Assessment } from './shapes.ts'
import type { RecentReceipts } from './recent-receipts.ts'
import type { Receipt } from './receipt.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation } from '../detect/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { SECRET_OPERATIONS } from '../identity/shapes.ts'
import { processOfReceipt } from '../std/id.ts'
import type { Json } from '../std/json.ts'

/**
 * The signs of a receipt that somebody marks. A shape needs the text as it came, and what is stored is masked wherever
 * a secret may stand (in GraphQL everywhere but around what was found). So the process that made the receipt is asked
 * first, which remembers the request for some minutes; then what is stored counts, without its masked places.
 */
interface MarkedSigns {
  of (assessment: Assessment): Promise<AllowableSign[]>
}

interface MarkedSignsParts {
  receipts: RecentReceipts
  fleet: Pick<Fleet, 'processId' | 'ask' | 'answer'>
  policy (): Policy
}

const QUESTION = 'assessments.signs'
const ASK_MS = 500
/** Operations whose texts are credentials: nothing of them is compared, whatever their variables are called. */
const CREDENTIALS = new RegExp(`\\b(?:${SECRET_OPERATIONS.join('|')})\\b`, 'i')

export function createMarkedSigns ({ receipts, fleet, policy }: MarkedSignsParts): MarkedSigns {
  fleet.answer(QUESTION, (id) => typeof id === 'string' ? remembered(id) as unknown as Json : null)

  function remembered (id: string): AllowableSign[] | null {
    const receipt = receipts.get(id)
    if (receipt === null || !isComparable(receipt)) return null
    const { observation } = receipt
    return told(allowableSigns(observation, policy(), (place) => !isSecretPlace(place)), observation)
  }

  async function elsewhere (id: string): Promise<AllowableSign[] | null> {
    const processId = processOfReceipt(id)
    if (processId === null || processId === fleet.processId) return null
    const [answer] = await fleet.ask(QUESTION, id, { timeoutMs: ASK_MS, processId })
    return Array.isArray(answer) ? (answer as unknown[]).filter(isAllowableSign) : null
  }

  return {
    of: async (assessment) =>
      remembered(assessment.id) ?? await elsewhere(assessment.id) ?? storedSigns(assessment, policy())
  }
}

/** Its body is here, and neither its path nor its operation holds a secret. */
function isComparable (receipt: Receipt): receipt is Extract<Receipt, { score: unknown }> {
  if (!('score' in receipt) || receipt.isWhole === false) return false
  const { url, route } = receipt.observation
  if (route === null && redactPath(url) !== (url.split('?', 1)[0] as string)) return false
  return !takesCredentials(receipt.observation)
}

function takesCredentials ({ url, body }: Pick<Observation, 'url' | 'body'>): boolean {
  if (!url.includes('graphql')) return false
  return CREDENTIALS.test(url) || (body !== null && CREDENTIALS.test(asBuffer(body).toString('latin1')))
}

function storedSigns (assessment: Assessment, policy: Policy): AllowableSign[] {
  const kept = assessment.observation
  if (kept === null || (kept.route === null && isMaskedAt(kept.masked, 'path'))) return []
  const observation = restoreObservation(assessment, kept)
  if (takesCredentials(observation)) return []
  return told(allowableSigns(observation, policy, (place) => !isMaskedAt(kept.masked, place)), observation)
}

/** As the signs of a request may be told. */
function told (signs: readonly AllowableSign[], observation: Observation): AllowableSign[] {
  const evidence = signs.map(({ rule, place, grade, text }) => ({ rule, place, grade, text, technique: null }))
  const redacted = redactFactors([{ name: 'payload', contribution: 0, evidence }], observation)[0]!.evidence
  return signs.map((sign, at) => ({ ...sign, text: redacted[at]!.text }))
}
