import type { Worker } from 'node:cluster'

/**
 * Which worker gets the next connection. node:cluster offers each to whichever worker took its last one first: a burst
 * after a start then lies three to one (25 of 32 seen on one of two), and killing that worker costs three quarters.
 * And a connection on its way to a worker that dies stays open with nobody behind it, for ever.
 *
 * Both are mended from outside, by a `no` in place of the worker: cluster gives a refused connection to another free
 * worker. We say it for a worker that holds more than a free sibling, for one that hangs, of which nothing has been
 * heard for a while, and for one that died with an offer in its hands.
 * This reads two of cluster's internal messages (`newconn` and its ack). Where a later Node has other ones nothing
 * matches, and everything is as that Node does it.
 */
export interface Balance {
  /** `isSilent`: whether nothing is heard of the worker; it gets connections only where nobody else can take them. */
  watch (worker: Worker, isSilent: () => boolean): void
  /** Connections that the worker says it holds; those that it was given since count on top. */
  setConnections (worker: Worker, connections: number): void
}

interface Seen {
  worker: Worker
  isSilent: () => boolean
  held: number
  offers: Set<number>
  isListening: boolean
  hasJustRefused: boolean
}

interface ClusterMessage { cmd?: string, act?: string, seq?: number, ack?: number, accepted?: boolean }

/** Connections more than a busy sibling that a worker may take without waiting for it. */
const UNEVEN_MAX = 1
/** A connection waits at most this long for a sibling that holds less; one that is stalled is not waited for longer. */
const WAIT_MS = 1
const WAIT_MS_MAX = 10
/** For any sibling of a silent worker to be free: by then they are silent themselves. */
const SILENT_WAIT_MS_MAX = 1_000
/** For what a dead worker had written before it died to be read. */
const LAST_WORDS_MS = 20

export function createBalance (): Balance {
  const seen = new Map<number, Seen>()

  const isFree = (one: Seen): boolean => one.isListening && one.offers.size === 0 && one.worker.isConnected()

  /** `refuse`: a sibling is free. `wait`: those that could take it have their hands full for the moment. */
  const decideForSilent = (one: Seen): 'give' | 'refuse' | 'wait' => {
    const others = [...seen.values()].filter((other) => other !== one && other.isListening && !other.isSilent())
    if (others.length === 0) return 'give'
    // A refused connection comes back when we were wrong about who is free: not before a moment has passed.
    return !one.hasJustRefused && others.some(isFree) ? 'refuse' : 'wait'
  }

  /** The same, of siblings with less. */
  const decide = (one: Seen): 'give' | 'refuse' | 'wait' => {
    if (one.isSilent()) return decideForSilent(one)
    // Never twice in a row: should we be wrong about who is free, the connection must not go round in circles.
    if (one.hasJustRefused) return 'give'
    let decision: 'give' | 'wait' = 'give'
    for (const other of seen.values()) {
      if (other === one || !other.isListening || other.held >= one.held || other.isSilent()) continue
      if (isFree(other)) return 'refuse'
      if (other.held + UNEVEN_MAX < one.held) decision = 'wait'
    }
    return decision
  }

  const refuse = (one: Seen, seq: number): void => {
    one.offers.delete(seq)
    // With nobody else to take it, `yes` makes cluster close its copy: the client learns at once that nobody is there.
    const accepted = ![...seen.values()].some((other) => other.isListening && other.worker.isConnected())
    one.worker.process.emit(
      'internalMessage' as 'message',
      { cmd: 'NODE_CLUSTER', ack: seq, accepted },
      undefined as never
    )
  }

  return {
    setConnections (worker, connections) {
      const one = seen.get(worker.id)
      if (one !== undefined) one.held = connections + one.offers.size
    },
    watch (worker, isSilent) {
      const one: Seen = { worker, isSilent, held: 0, offers: new Set(), isListening: false, hasJustRefused: false }
      seen.set(worker.id, one)
      const send = worker.process.send.bind(worker.process) as (...args: unknown[]) => boolean
      worker.process.send = ((message: ClusterMessage, ...rest: unknown[]) => {
        if (message?.cmd !== 'NODE_CLUSTER' || message.act !== 'newconn' || message.seq === undefined) {
          return send(message, ...rest)
        }
        const { seq } = message
        const offer = (waitedMs: number): boolean => {
          const decision = decide(one)
          const waitMsMax = one.isSilent() ? SILENT_WAIT_MS_MAX : WAIT_MS_MAX
          if (decision === 'wait' && waitedMs < waitMsMax && worker.isConnected()) {
            one.hasJustRefused = false
            setTimeout(offer, WAIT_MS, waitedMs + WAIT_MS)
            return true
          }
          one.hasJustRefused = decision === 'refuse'
          if (decision === 'refuse' || !worker.isConnected()) {
            setImmediate(refuse, one, seq)
            return true
          }
          one.offers.add(seq)
          one.held++
          return send(message, ...rest)
        }
        return offer(0)
      }) as typeof worker.process.send
      worker.process.on('internalMessage' as 'message', (message) => {
        const { cmd, act, ack, accepted } = message as ClusterMessage
        if (cmd !== 'NODE_CLUSTER') return
        if (act === 'listening') one.isListening = true
        else if (act === 'close') one.isListening = false
        if (ack !== undefined && one.offers.delete(ack) && accepted !== true) one.held--
      })
      // After cluster itself has forgotten the worker, which it does before it says so.
      worker.once('disconnect', () => {
        seen.delete(worker.id)
        for (const seq of [...one.offers]) refuse(one, seq)
      })
      // With a connection on its way Node waits for the dead worker's receipt, and never says that the channel closed.
      worker.once('exit', () => {
        setTimeout(() => {
          if (seen.has(worker.id)) worker.process.emit('disconnect')
        }, worker.isConnected() ? LAST_WORDS_MS : 0)
      })
    }
  }
}
