import type { Clock } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Fleet } from './port.ts'
import { FLEET_MESSAGE_BYTES_MAX } from './envelope.ts'
import type { Envelope } from './envelope.ts'

/** Answers that one question collects; a fleet larger than this answers in part. */
const ANSWERS_MAX = 64
/** Questions of one process under way at once; more answer with nothing at once. */
const ASKS_MAX = 1000

export interface FleetEndpoint extends Fleet {
  /** Called by whatever carries the messages. */
  deliver (envelope: Envelope): void
}

interface EndpointOptions {
  processId: string
  slot: number
  primaryId: string | null
  clock: Pick<Clock, 'after'>
  log: Pick<Logger, 'error' | 'warn'>
  /** Hands an envelope to the hub (in this process, or in the primary over IPC). */
  send: (envelope: Envelope) => void
  processCount: () => number
  bridgeUp: () => boolean | null
  close?: () => Promise<void> | void
}

interface Ask { answers: Json[], finish: () => void }

/**
 * One process's side of the fleet: topics, questions under way and their answers. How envelopes travel is not
 * its business.
 */
export function createFleetEndpoint (options: EndpointOptions): FleetEndpoint {
  const { processId, clock, log, send } = options
  const handlers = new Map<string, Set<(message: Json, from: string) => void>>()
  const answerers = new Map<string, (message: Json) => Json | null | Promise<Json | null>>()
  const asks = new Map<string, Ask>()
  let askCount = 0
  let closed = false

  const runHandlers = (topic: string, message: Json, from: string): void => {
    for (const handler of handlers.get(topic) ?? []) {
      try {
        handler(message, from)
      } catch (error) {
        log.error({ err: error, topic }, 'a fleet handler threw')
      }
    }
  }

  const reply = async (ask: Extract<Envelope, { kind: 'ask' }>): Promise<void> => {
    let message: Json = null
    try {
      message = await answerers.get(ask.topic)?.(ask.message) ?? null
      if (!isSmall(message)) {
        log.warn({ topic: ask.topic }, 'a fleet answer over 64 KiB was left out')
        message = null
      }
    } catch (error) {
      log.error({ err: error, topic: ask.topic }, 'a fleet answerer failed')
    }
    // Also null is sent: it tells the hub that this process need not be waited for.
    if (!closed) send({ kind: 'answer', id: ask.id, message, from: processId, to: ask.from })
  }

  return {
    processId,
    slot: options.slot,
    primaryId: options.primaryId,
    processCount: () => Math.max(1, options.processCount()),
    bridgeUp: options.bridgeUp,
    publish (topic, message, options) {
      if (closed) return
      if (!isSmall(message)) {
        log.error({ topic }, 'a fleet message over 64 KiB was refused')
        return
      }
      send({
        kind: 'publish',
        topic,
        message,
        from: processId,
        ...(options === undefined ? {} : { to: options.processId })
      })
    },
    subscribe (topic, handler) {
      const set = handlers.get(topic) ?? new Set()
      handlers.set(topic, set.add(handler))
      return () => { set.delete(handler) }
    },
    ask (topic, message, { timeoutMs, processId: to, waitFor }) {
      if (closed || asks.size >= ASKS_MAX || !isSmall(message) || to === processId) return Promise.resolve([])
      const id = `${processId}.${(askCount++).toString(36)}.${randomText(4)}`
      return new Promise((resolve) => {
        const finish = (): void => {
          timer.cancel()
          if (asks.delete(id)) resolve(ask.answers)
        }
        const ask: Ask = { answers: [], finish }
        const timer = clock.after(timeoutMs, finish)
        asks.set(id, ask)
        const question = { id, topic, message, from: processId, to: to ?? null, timeoutMs }
        send({ kind: 'ask', ...question, ...(waitFor === undefined ? {} : { waitFor }) })
      })
    },
    answer (topic, handler) { answerers.set(topic, handler) },
    deliver (envelope) {
      if (closed) return
      if (envelope.kind === 'publish') runHandlers(envelope.topic, envelope.message, envelope.from)
      else if (envelope.kind === 'ask') {
        reply(envelope).catch((error) => log.error({ err: error }, 'a fleet answer was lost'))
      } else if (envelope.kind === 'answer') {
        const ask = asks.get(envelope.id)
        if (ask === undefined || envelope.message === null) return
        if (ask.answers.push(envelope.message) >= ANSWERS_MAX) ask.finish()
      } else if (envelope.kind === 'end') asks.get(envelope.id)?.finish()
    },
    async close () {
      closed = true
      for (const ask of [...asks.values()]) ask.finish()
      handlers.clear()
      answerers.clear()
      await options.close?.()
    }
  }
}

/**
 * Characters first: the exact count is only taken where it could matter (a character is at most three bytes
 * of UTF-8).
 */
function isSmall (message: Json): boolean {
  const text = JSON.stringify(message)
  return text.length * 3 <= FLEET_MESSAGE_BYTES_MAX || Buffer.byteLength(text) <= FLEET_MESSAGE_BYTES_MAX
}
