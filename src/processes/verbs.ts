import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { BECAUSE_MAX } from '../audit/acceptance.ts'
import { attempt } from '../audit/shapes.ts'
import { proposeAcceptance } from '../audit/verify.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { maskTokens } from '../receipts/mask-forms.ts'
import type { Json } from '../std/json.ts'
import { inBackground } from '../storage/background.ts'

/** Verbs that `neko` may ask of the rooms through the control socket; the rooms themselves know nothing of it. */
export default fp(async (app: FastifyInstance) => {
  app.control.handle('explain', async (args) => {
    const id = idOf(args)
    return {
      text: found(await app.receipts.explain(id)),
      assessment: await app.receipts.get(id) as unknown as Json
    }
  })
  app.control.handle('replay', async (args) => ({ text: found(await app.receipts.replay(idOf(args))) }))
  app.control.handle('allowances list', () => ({
    text: app.receipts.describeAllowances(),
    allowances: app.receipts.allowances({ first: ALLOWANCES_SHOWN_MAX, after: null }).items as unknown as Json
  }))
  app.control.handle('allowances remove', async (args) => {
    const allowance = await app.receipts.removeAllowance(idOf(args), { ...OPERATOR, mayManage: true })
    return { text: `removed: ${allowance.id}`, allowance: allowance as unknown as Json }
  })
  app.control.handle('intel import', async (args, progress) => {
    const { source, format } = args as { source?: Json, format?: Json }
    if (typeof source !== 'string') throw new NEKO_ERR_INPUT_INVALID('source must be a file or an address')
    const counts = await app.intel.importSource(source, {
      format: format === 'stix' || format === 'misp' ? format : null,
      actor: OPERATOR.actor,
      onProgress: ({ phase, objects, actors }) => progress(`${phase}: ${objects} objects, ${actors} actors`)
    })
    return counts as unknown as Json
  })
  app.control.handle('audit accept', async (args) => {
    const given = { ...acceptanceOf(args), processId: app.fleet.processId }
    const acceptance = await proposeAcceptance(app.config, inBackground(app.storage), given)
    const event = await app.audit.accept(acceptance, OPERATOR.origin)
    return {
      text: `accepted as it is: ${event.target} (event ${event.id})`,
      id: event.id,
      trail: event.target ?? null,
      ...event.details
    }
  })
  app.control.handle('cache clear', async (args) => {
    const { name = null } = (args ?? {}) as { name?: Json }
    const all = app.caches.stats().map((cache) => cache.name)
    const named = all.filter((one) => name === null || one === name)
    if (named.length === 0) throw new NEKO_ERR_NOT_FOUND(`There is no such cache: there is ${all.join(', ')}`)
    const { actor, origin } = OPERATOR
    const target = name === null ? null : named[0] as string
    const event = { category: 'data', type: 'cache.clear', actor, target, details: { origin } } as const
    await attempt(app.audit, event, () => app.caches.clear(target ?? undefined))
    return { text: `cleared in every process: ${named.join(', ')}`, cleared: named }
  })
}, { name: 'verbs', dependencies: ['processes', 'receipts', 'intel', 'audit', 'cache'] })

/** Whoever may open the control socket owns the machine's data; nobody of the store stands behind it. */
export const OPERATOR = Object.freeze({ actor: 'system', origin: 'cli' })
/** More than there can be. */
const ALLOWANCES_SHOWN_MAX = 10_000

function idOf (args: Json): string {
  const { id } = (args ?? {}) as { id?: Json }
  if (typeof id !== 'string') throw new NEKO_ERR_INPUT_INVALID('id must be a text')
  return id
}

/** What a terminal would take for more than letters is none of a reason, and no secret stands in it. */
function acceptanceOf (args: Json): { trail: string, because: string } {
  const { trail, because } = (args ?? {}) as { trail?: Json, because?: Json }
  if (typeof trail !== 'string' || typeof because !== 'string') {
    throw new NEKO_ERR_INPUT_INVALID('trail and because must be texts')
  }
  const reason = because.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim()
  if (reason === '' || reason.length > BECAUSE_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`because must have 1 to ${BECAUSE_MAX} characters`)
  }
  return { trail, because: maskTokens(reason, 'because', () => {}).slice(0, BECAUSE_MAX) }
}

function found (text: string | null): string {
  if (text === null) {
    throw new NEKO_ERR_NOT_FOUND('There is no such receipt, or it was not stored and is forgotten by now')
  }
  return text
}
