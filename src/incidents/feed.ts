import type { Fleet } from '../fleet/port.ts'
import type { Collection } from '../storage/port.ts'
import { toIncident } from './document.ts'
import type { Incident, StoredIncident } from './shapes.ts'

/** Tells listeners of incidents that were opened or changed, here and in siblings. Reads for a sibling's listeners. */
export class IncidentFeed {
  readonly #fleet: Fleet
  readonly #listeners = new Set<(incident: Incident) => void>()

  constructor (fleet: Fleet, store: Pick<Collection<StoredIncident>, 'get'>) {
    this.#fleet = fleet
    fleet.subscribe('incidents.changed', (id) => {
      if (this.#listeners.size === 0) return
      store.get(id as string).then((incident) => {
        if (incident !== null) this.#tell(incident)
      }, () => { /* the store is down: the next change tells again */ })
    })
  }

  changed (incident: StoredIncident): void {
    this.#tell(incident)
    this.#fleet.publish('incidents.changed', incident.id)
  }

  /** Returns the unsubscribe. */
  listen (listener: (incident: Incident) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell (stored: StoredIncident): void {
    const incident = toIncident(stored)
    for (const listener of this.#listeners) listener(incident)
  }
}
