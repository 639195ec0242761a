/**
 * The actors that readers were shown last, ready to be shown again. Reading, parsing and joining 20 documents of 12 KiB
 * takes 1.2 ms, many times what all the rest of a request for them does. Here it is done once for each writing of a
 * document: the same 20 then take 8 us, and 270 us after a commit of anything (SQLite).
 *
 * Never shows what is not stored any more: the store is asked each time, and says which documents nobody has written
 * since (`getChanged`). So no message between processes is needed, and none that is lost does harm. What is shown is
 * shared by all who ask for it: frozen, so that nobody can change what others see.
 */
import { createMemory } from '../cache/memory.ts'
import type { Mark } from '../storage/port.ts'
import type { ActorStore } from './actor-store.ts'
import { toActor } from './profile.ts'
import type { ActorDocument, ThreatActor } from './shapes.ts'

/** Some 800 actors of 12 KiB. Of more than that the rest is worked out for each who asks, as exactly. */
const BYTES_MAX = 32 * 1024 * 1024
/**
 * Of a document's JSON: its text, which SQLite's marks hold, and its values. Measured with 1,000 documents of 11.7 KiB:
 * 2.1, and 3.2 where letters beyond Latin-1 make it a text of two bytes each.
 */
const BYTES_PER_CHARACTER = 3.5

interface ShownActors {
  /** Those that are there, in the order of the ids; never edit them. */
  getMany (ids: readonly string[]): Promise<ThreatActor[]>
  get (id: string): Promise<ThreatActor | null>
  /** What is held takes at most `bytesMax`. */
  readonly bytes: number
}

export function createShownActors (
  actors: Pick<ActorStore, 'getChanged'>,
  { bytesMax = BYTES_MAX }: { bytesMax?: number } = {}
): ShownActors {
  const memory = createMemory<Shown>({ bytesMax })

  async function getMany (ids: readonly string[]): Promise<ThreatActor[]> {
    const held = new Map<string, Shown>()
    const known = ids.map((id) => {
      const shown = memory.get(id)?.value
      if (shown !== undefined) held.set(id, shown)
      return { id, mark: shown?.mark ?? null }
    })
    const readings = await actors.getChanged(known)
    return readings.map(({ id, mark, document }) =>
      document === null ? held.get(id)!.actor : keep(document, mark)
    )
  }

  function keep (document: ActorDocument, mark: Mark): ThreatActor {
    const actor = freeze(toActor(document))
    const bytes = JSON.stringify(document).length * BYTES_PER_CHARACTER
    memory.set({ key: document.id, value: { mark, actor }, bytes, references: [], ...FOR_EVER })
    return actor
  }

  return {
    getMany,
    get: async (id) => (await getMany([id]))[0] ?? null,
    get bytes () { return memory.bytes }
  }
}

interface Shown { readonly mark: Mark, readonly actor: ThreatActor }

/** What is held does not age: the store says when it ends. */
const FOR_EVER = { storedAtMs: 0, freshForMs: Infinity, staleForMs: Infinity }

/** With all that is in it. */
function freeze<T> (value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) freeze(part)
  return Object.freeze(value)
}
