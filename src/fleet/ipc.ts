import type { Clock } from '../std/clock.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { FleetEndpoint } from './endpoint.ts'
import { createFleetEndpoint } from './endpoint.ts'
import type { Envelope } from './envelope.ts'

/** A worker's fleet: the hub is in the primary, reached over IPC. The owner of the channel feeds `deliver`. */
export function createIpcFleet (options: {
  processId: string
  slot: number
  primaryId: string
  clock: Clock
  log: Pick<Logger, 'error' | 'warn'>
  toPrimary: (envelope: Envelope) => void
  /** As the primary last told. */
  processCount: () => number
  bridgeUp: () => boolean | null
}): FleetEndpoint {
  // Also the connections that the primary hands out: it is busy with them then, and not gone.
  let heardMs = performance.now()
  const heard = (): void => { heardMs = performance.now() }
  process.on('internalMessage' as 'message', heard)
  process.on('message', heard)
  const endpoint = createFleetEndpoint({
    processId: options.processId,
    slot: options.slot,
    primaryId: options.primaryId,
    clock: options.clock,
    log: options.log,
    send: options.toPrimary,
    processCount: options.processCount,
    bridgeUp: options.bridgeUp
  })
  return { ...endpoint, primaryHeardMs: () => heardMs }
}
