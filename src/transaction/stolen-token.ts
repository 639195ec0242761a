import type { Audit } from '../audit/shapes.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'
import type { Identity } from '../identity/identity.ts'
import type { Incidents } from '../incidents/incidents.ts'
import type { Limits } from '../limits/limiter.ts'
import { attackerName, attackerOf, outranks, type PlaybookName } from '../playbooks/shapes.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Transaction } from './transaction.ts'

/**
 * What its caller may write is not held against a credential (own-data.ts), so that whoever stole one may type attacks
 * too. The eleventh request of a credential within ten minutes that would have been refused for its data, from
 * addresses where the credential was never used before, is shown to a person as an incident. Nothing else follows:
 * nobody is refused, held, blocked or told by webhook.
 *
 * Requests are counted by the limiter, for all processes as any limit; since when an address is used is in the store
 * (identity/used-addresses.ts). That a credential was told of is remembered here: at worst each process adds one line
 * to the one open incident.
 */
export interface StolenTokenParts {
  identity: Pick<Identity, 'noteUse' | 'isNewAddress'>
  limits: Pick<Limits, 'takeNamed'>
  incidents: Pick<Incidents, 'join'>
  audit: Pick<Audit, 'record'>
  clock: Clock
  log: Pick<Logger, 'error'>
}

const TOLD_MS = 600_000
const TOLD_MAX = 1_000
/** The playbook whose incidents are about clients that behave unlike themselves. */
const PLAYBOOK: PlaybookName = 'BEHAVIORAL_ANOMALY'
/** Application Access Token, of "Use Alternate Authentication Material". */
const TECHNIQUE = 'T1550.001'
const WHAT = 'a stolen token? More than 10 requests within 10 minutes that wrote attacks into fields of ours, ' +
  'from an address where this credential was never used before; nothing was done'

/** Notes the use of a credential, and looks whether it may be stolen. */
export function createStolenTokenWatch (
  { identity, limits, incidents, audit, clock, log }: StolenTokenParts,
  blockThreshold: number
): (transaction: Transaction) => void {
  const toldUntilMs = new BoundedMap<string, number>(TOLD_MAX)

  return function watch (transaction) {
    const { principal, address, refusedBy } = transaction
    if (principal === null || address === null || refusedBy !== null) return
    identity.noteUse(principal, address)
    if (!isSuspect(transaction, blockThreshold)) return
    count(transaction).catch((error: unknown) =>
      log.error({ err: error, assessment: transaction.id }, 'the use of a credential could not be counted'))
  }

  async function count (transaction: Transaction): Promise<void> {
    const { client, principal, address } = transaction
    if (wasTold(client) || !await identity.isNewAddress(principal!, address!)) return
    const { allowed } = await limits.takeNamed('standard', 'stolen-token', client)
    if (allowed || wasTold(client)) return
    toldUntilMs.set(client, clock.monotonic() + TOLD_MS)
    tell(transaction)
  }

  function wasTold (client: string): boolean {
    return (toldUntilMs.get(client) ?? 0) > clock.monotonic()
  }

  function tell ({ id, at, client, score }: Transaction): void {
    const holder = attackerOf(client, null)
    if (holder === null) return
    const attacker = attackerName({ attacker: holder })
    audit.record({
      category: 'security',
      type: 'token.suspect',
      actor: 'system',
      target: attacker,
      outcome: 'ok',
      assessmentId: id,
      score: score!.value,
      factor: decisiveFactor(score)
    })
    incidents.join({
      attacker,
      playbook: PLAYBOOK,
      outranks: (other) => outranks(PLAYBOOK, other),
      critical: false,
      entry: { at, actor: `playbook:${PLAYBOOK}`, what: WHAT, assessmentId: id },
      assessmentId: id,
      evidence: [],
      techniques: [TECHNIQUE],
      notice: null
    })
  }
}

/** Its full score blocks, and what is left without its data does not. */
function isSuspect ({ score, scoreWithoutData, verdict }: Transaction, blockThreshold: number): boolean {
  return scoreWithoutData !== null && score !== null && !score.degraded && score.value >= blockThreshold &&
    verdict?.action !== 'BLOCK'
}
