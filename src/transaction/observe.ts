import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addressKey } from '../std/ip.ts'
import type { Observation } from '../detect/shapes.ts'
import type { Passage } from './transaction.ts'

/**
 * From a request to an Observation: what was on the wire, and what its client did before. Nothing is decoded or parsed
 * here; the bytes go to the thread as they came.
 */
export function createObserver (app: FastifyInstance): (request: FastifyRequest, passage: Passage) => Observation {
  const { clients } = app

  return function observe (request, passage) {
    const { raw } = request
    const observation: Observation = {
      id: passage.id,
      at: passage.at,
      client: passage.client,
      method: raw.method ?? '',
      url: raw.url ?? '',
      headers: raw.rawHeaders,
      body: passage.bodyIsOthers ? null : passage.body,
      // A decoy is no route of ours: who asks for it is judged as if it were not there.
      route: request.is404 || request.routeOptions.config?.decoy === true ? null : request.routeOptions.url ?? null,
      history: null
    }
    observation.history = clients.observe(observation, { address: addressKey(passage.address), limit: passage.limit })
    return observation
  }
}
