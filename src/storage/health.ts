import type { StorageHealth } from './port.ts'
import type { StorageLog } from './log.ts'

/** The state that readiness and the gauge show: one value, one log line per change. */
export interface HealthState {
  current (): StorageHealth
  set (health: StorageHealth, cause?: unknown): void
  onChange (listener: (health: StorageHealth) => void): void
}

/** `kind` names the store in the log; it starts up unless told otherwise. */
export function createHealthState (
  kind: string,
  log: StorageLog,
  first: StorageHealth = { up: true, reason: null }
): HealthState {
  let health = first
  const listeners: Array<(health: StorageHealth) => void> = []
  return {
    current: () => health,
    set (next, cause) {
      if (next.up === health.up && next.reason === health.reason) return
      const changed = next.up !== health.up
      health = next
      // The driver's message may hold a host name, never a credential: both drivers leave those out.
      if (next.up) log.info({ store: kind }, 'storage is up again')
      else {
        log.warn({
          store: kind,
          reason: next.reason,
          cause: cause instanceof Error ? cause.message : undefined
        }, 'storage is down')
      }
      if (changed) for (const listener of listeners) listener(next)
    },
    onChange (listener) { listeners.push(listener) }
  }
}
