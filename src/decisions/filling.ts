import type { Sharing, Taken } from '../fleet/sharing.ts'
import type { Logged } from '../journal/pending-effects.ts'
import type { Clock } from '../std/clock.ts'
import { endOf, type Replica } from './replica.ts'
import { withOriginKind, type Decision } from './shapes.ts'

/**
 * How the memory of a process that starts is filled. The store lags behind what was acknowledged: it may be away, and
 * SQLite that another program holds locked still gives what it had before. So the logs of the host count on top of it,
 * with what siblings hold and the store may lack; where it could not be read, all that a sibling and the logs hold. The
 * three come in any order, since what ended ends whoever tells it (replica.ts).
 */
export interface LoggedChange {
  op: 'put' | 'delete'
  id: string
  doc: { id: string } | null
  /** ms since the epoch */
  at: number
}

interface FillingOptions {
  replica: Replica
  sharing: Sharing
  clock: Clock
  loggedChanges (wanted: Logged): Promise<LoggedChange[]>
  /** @throws NEKO_ERR_STORE_UNAVAILABLE */
  load (): Promise<void>
  log: { warn (details: object, message: string): void }
}

/** Beyond the store's own time; a start must not hang on a sibling. */
const WAIT_MS = 2_000

/** Whether the store was read; never rejects. */
export async function fillMemory (
  { replica, sharing, clock, loggedChanges, load, log }: FillingOptions
): Promise<boolean> {
  const taking = sharing.askAll()
  const loading = load().then(() => true, (error: unknown) => {
    log.warn({ err: error }, 'decisions could not be loaded yet')
    return false
  })
  const overlaying = overlay('pending')

  async function overlay (wanted: Logged): Promise<void> {
    try {
      for (const change of await loggedChanges(wanted)) takeIn(change)
    } catch (error) {
      log.warn({ err: error }, 'decisions in the audit logs could not be read')
    }
  }

  function takeIn ({ op, id, doc, at }: LoggedChange): void {
    if (op === 'put') {
      const decision = withOriginKind(doc as Decision)
      if (endOf(decision) > clock.now()) replica.activate(decision)
      // One that was superseded is named with its version: whatever superseded it does so here, too.
    } else if (doc === null) replica.bury(id, at)
  }

  /** The largest first: a sibling that starts at the same time holds little. */
  async function takeAll (siblings: Taken[]): Promise<void> {
    for (const { processId } of siblings.toSorted((a, b) => b.size - a.size)) {
      if ((await sharing.askOne(processId, 'all')).isWhole) return
    }
  }

  const isLoaded = await loading
  const done = Promise.all([taking, overlaying]).then(async ([siblings]) => {
    if (isLoaded) return
    await takeAll(siblings)
    await overlay('all')
  })
  const late = AbortSignal.timeout(WAIT_MS)
  await Promise.race([done, new Promise<void>((resolve) => { late.addEventListener('abort', () => resolve()) })])
  if (late.aborted) log.warn({}, 'decisions of siblings and of the audit logs are still on their way')
  return isLoaded
}
