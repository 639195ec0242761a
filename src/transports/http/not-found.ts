import fp from 'fastify-plugin'
import { NEKO_ERR_METHOD_INVALID, NEKO_ERR_NOT_FOUND } from '../../errors.ts'
import { refusalFrom } from '../../transaction/refusal.ts'
import { sendRefusal } from './send-refusal.ts'

/**
 * Answers where no route does: 405 with `Allow` where the address is ours and only the method is not,
 * 204 for OPTIONS there, else 404. Decoys stay what they pretend to be: nothing of theirs is listed.
 */
const NOT_FOUND = refusalFrom(new NEKO_ERR_NOT_FOUND('There is nothing at this address'))
const METHOD = refusalFrom(new NEKO_ERR_METHOD_INVALID())

export default fp(async (app) => {
  const methods = new Map<string, Set<string>>()

  app.addHook('onRoute', ({ url, method, config }) => {
    if (url === '*' || config?.decoy === true) return
    const known = methods.get(url) ?? new Set()
    for (const one of [method].flat()) known.add(one)
    methods.set(url, known)
  })

  app.setNotFoundHandler((request, reply) => {
    const known = methods.get((request.raw.url ?? '').split('?', 1)[0] as string)
    if (known === undefined) return sendRefusal(request, reply, NOT_FOUND)
    reply.header('allow', [...known, 'OPTIONS'].join(', '))
    return request.method === 'OPTIONS' ? reply.code(204).send() : sendRefusal(request, reply, METHOD)
  })
}, { name: 'not-found' })
