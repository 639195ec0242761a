import type { Clock } from '../std/clock.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Fleet } from './port.ts'
import { createFleetEndpoint } from './endpoint.ts'
import { createFleetHub } from './hub.ts'
import type { FleetHub } from './hub.ts'

/**
 * The fleet of one process: its hub is at home. Alone it reaches nobody; a bridge on the hub joins it to
 * other hosts.
 */
export function createLocalFleet (
  options: { processId: string, clock: Clock, log: Pick<Logger, 'error' | 'warn'>, hub?: FleetHub }
): Fleet {
  const hub = options.hub ?? createFleetHub(options.clock)
  const endpoint = createFleetEndpoint({
    processId: options.processId,
    slot: 0,
    primaryId: null,
    clock: options.clock,
    log: options.log,
    send: (envelope) => hub.fromMember(envelope),
    processCount: () => hub.processCount(),
    bridgeUp: () => hub.bridgeUp(),
    close: () => hub.leave(options.processId)
  })
  hub.join(options.processId, (envelope) => endpoint.deliver(envelope))
  return endpoint
}
