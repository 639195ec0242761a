import type { Clock } from '../std/clock.ts'
import { createReceiptIds } from '../std/id.ts'
import { addressKey } from '../std/ip.ts'
import type { Arrival, Door, Transaction } from './transaction.ts'

/** A sample without an address has no history and no client to act against. */
const NOBODY = 'ip:unknown'

export type Begin = (arrival: Arrival) => Transaction

/** The first call: the receipt's id and the moment, and everything else as nobody knows it yet. */
export function createBegin ({ processId, clock }: { processId: string, clock: Clock }): Begin {
  const ids: Readonly<Record<Door, () => string>> = {
    http: createReceiptIds(processId),
    assess: createReceiptIds(processId, '1'),
    websocket: createReceiptIds(processId, '2')
  }
  return (arrival) => ({
    door: arrival.door,
    authority: arrival.authority,
    acts: arrival.acts,
    address: arrival.address,
    neverBlockApplies: arrival.neverBlockApplies,
    unnamedProxy: arrival.unnamedProxy,
    method: arrival.method,
    target: arrival.target,
    headers: arrival.headers,
    route: arrival.route,
    shown: arrival.shown,
    submitter: arrival.submitter,
    holder: arrival.holder,
    id: ids[arrival.door](),
    startedMs: clock.monotonic(),
    at: clock.now(),
    client: arrival.holder?.clientKey ?? anonymousClient(arrival.address),
    principal: arrival.holder,
    credentialRefused: null,
    crossSite: false,
    refusedForCarried: false,
    limit: null,
    decision: null,
    signsIn: false,
    submittedSample: false,
    body: null,
    observation: null,
    score: null,
    scoreWithoutData: null,
    heldScore: null,
    verdict: null,
    unjudged: null,
    refusedBy: null,
    loginFailed: false,
    attemptLimited: false,
    responded: false
  })
}

/** The ClientKey of a caller without a credential. */
export function anonymousClient (address: string | null): string {
  return address === null ? NOBODY : `ip:${addressKey(address)}`
}
