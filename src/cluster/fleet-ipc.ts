import type { Logger } from '../telemetry/logger.ts'
import type { FleetEndpoint } from './fleet-endpoint.ts'
import { createFleetEndpoint } from './fleet-endpoint.ts'
import type { Envelope } from './messages.ts'

/** A worker's fleet: the hub is in the primary, reached over IPC. The owner of the channel feeds `deliver`. */
export function createIpcFleet (options: {
  processId: string
  slot: number
  primaryId: string
  log: Pick<Logger, 'error' | 'warn'>
  toPrimary: (envelope: Envelope) => void
  /** As the primary last told. */
  processCount: () => number
  bridgeUp: () => boolean | null
}): FleetEndpoint {
  return createFleetEndpoint({
    processId: options.processId,
    slot: options.slot,
    primaryId: options.primaryId,
    log: options.log,
    send: options.toPrimary,
    processCount: options.processCount,
    bridgeUp: options.bridgeUp
  })
}
