/**
 * STIX 2.0 and 2.1 bundles: objects in, records out. Pure over objects: it is handed one object after the other in
 * whatever order the bundle has them (relationships often come last, never surely) and gives its records at the end.
 *
 * Reads intrusion-set, threat-actor, attack-pattern, relationship (uses; originates-from and targets say where and
 * whom), location. Revoked and deprecated objects are skipped and counted, and so are relationships to them.
 */
import { asAliases } from './aliases.ts'
import { inferCategory } from './category.ts'
import {
  asCountry,
  asDescription,
  asFields,
  asList,
  asMoment,
  asReference,
  asTechnique,
  asText,
  asTexts,
  attackIdsOfUrls,
  isAttackId,
  sinceOfText,
  type Fields
} from './facts.ts'
import { BOUNDS, type ActorRecord, type IntelSource, type Reference, type Technique } from './shapes.ts'
import type { RecordReader } from './import-shapes.ts'

/** Relationships kept until the end; all of ATT&CK has 20,000. */
const RELATIONSHIPS_MAX = 200_000
const STIX_ID = /^[a-z][a-z0-9-]{0,60}--[0-9a-f-]{36}$/i

interface Draft { record: ActorRecord, id: string, types: string[], motives: string[] }

export function createStixReader (): RecordReader {
  const actors = new Map<string, Draft>()
  const techniques = new Map<string, Technique>()
  const countries = new Map<string, string>()
  const uses = new Map<string, Set<string>>()
  const origins = new Map<string, string>()
  const skipped = new Map<string, number>()
  const withdrawn = new Set<string>()
  let relationships = 0

  const skip = (reason: string): void => { skipped.set(reason, (skipped.get(reason) ?? 0) + 1) }

  const takeActor = (fields: Fields, type: string, id: string): void => {
    const name = asText(fields.name, BOUNDS.nameChars)
    if (name === null) return skip(`${type} without a name`)
    const draft = toDraft(fields, type, id, name)
    const known = actors.get(id)
    if (known !== undefined) skip(`${type} in an older version of the same file`)
    if (known === undefined || known.record.version <= draft.record.version) actors.set(id, draft)
  }
  const takeRelationship = (fields: Fields): void => {
    const { source_ref: from, target_ref: to, relationship_type: type } = fields
    if (typeof from !== 'string' || typeof to !== 'string' || from.length > 100 || to.length > 100) {
      return skip('relationship without its ends')
    }
    if (++relationships > RELATIONSHIPS_MAX) return skip(`relationship beyond ${RELATIONSHIPS_MAX}`)
    if (type === 'uses' && to.startsWith('attack-pattern--')) uses.set(from, (uses.get(from) ?? new Set()).add(to))
    else if (type === 'originates-from') origins.set(from, to)
  }

  return {
    take (element) {
      const fields = asFields(element)
      if (fields === null) return skip('not an object')
      const type = typeof fields.type === 'string' ? fields.type : ''
      const isActor = type === 'intrusion-set' || type === 'threat-actor'
      if (!isActor && type !== 'attack-pattern' && type !== 'relationship' && type !== 'location') {
        return skip('object of another kind')
      }
      const id = typeof fields.id === 'string' && STIX_ID.test(fields.id) ? fields.id.toLowerCase() : null
      if (id === null) return skip(`${type} without a STIX id`)
      const state = fields.revoked === true ? 'revoked' : fields.x_mitre_deprecated === true ? 'deprecated' : null
      if (state !== null) {
        withdrawn.add(id)
        return skip(`${type} ${state}`)
      }
      if (isActor) takeActor(fields, type, id)
      else if (type === 'relationship') takeRelationship(fields)
      else if (type === 'location') countries.set(id, asCountry(fields.country) ?? '')
      else takeTechnique(fields, id, techniques)
    },
    onField () {},
    finish () {
      const records = [...actors.values()].map((draft) => complete(draft, { techniques, uses, origins, countries }))
      return { records, skipped }
    },
    actorCount: () => actors.size
  }
}

function takeTechnique (fields: Fields, id: string, techniques: Map<string, Technique>): void {
  const reference = externalReferences(fields).find((each) => isAttackSource(each.source_name))
  const technique = asTechnique(reference?.external_id, fields.name)
  if (technique !== null) techniques.set(id, technique)
}

function toDraft (fields: Fields, type: string, id: string, name: string): Draft {
  const external = externalReferences(fields)
  const attack = external.find((each) =>
    isAttackSource(each.source_name) && typeof each.external_id === 'string' && isAttackId(each.external_id)
  )
  const description = asDescription(fields.description)
  const types = [...asTexts(fields.threat_actor_types, 20, 60), ...asTexts(fields.labels, 20, 60)]
  const motives = [...asTexts(fields.primary_motivation, 1, 60), ...asTexts(fields.secondary_motivations, 20, 60)]
  const attackIds = attack !== undefined
    ? [attack.external_id as string]
    : attackIdsOfUrls(external.map((each) => asText(each.url, BOUNDS.urlChars) ?? ''))
  const record: ActorRecord = {
    source: sourceOf(type, attack !== undefined),
    key: id,
    version: asMoment(fields.modified, 'start') ?? 0,
    amends: null,
    name,
    aliases: asAliases([
      ...asTexts(fields.aliases, BOUNDS.aliases, BOUNDS.nameChars),
      ...asTexts(fields.x_mitre_aliases, BOUNDS.aliases, BOUNDS.nameChars)
    ], name),
    attackIds: [...new Set(attackIds)].slice(0, BOUNDS.attackIds),
    country: asCountry(fields.country) ?? asCountry(fields.x_country),
    category: 'UNKNOWN',
    categoryGrade: 0,
    motivation: motives.length === 0 ? null : asText(motives.join(', '), BOUNDS.motivationChars),
    techniques: [],
    references: toReferences(external),
    firstSeen: asMoment(fields.first_seen, 'start') ?? sinceOfText(description),
    lastSeen: asMoment(fields.last_seen, 'end'),
    description
  }
  return { record, id, types, motives }
}

/** ATT&CK's own objects are the steadiest names there are; they are a source of their own. */
function sourceOf (type: string, isAttack: boolean): IntelSource {
  if (type === 'threat-actor') return 'stix-threat-actor'
  return isAttack ? 'mitre-attack' : 'stix-intrusion-set'
}

function complete (
  draft: Draft,
  known: {
    techniques: Map<string, Technique>,
    uses: Map<string, Set<string>>,
    origins: Map<string, string>,
    countries: Map<string, string>
  }
): ActorRecord {
  const techniques = [...known.uses.get(draft.id) ?? []].map((id) => known.techniques.get(id.toLowerCase()))
    .filter((technique) => technique !== undefined)
  const byId = new Map(techniques.map((technique) => [technique.id, technique]))
  const origin = known.countries.get(known.origins.get(draft.id) ?? '') ?? ''
  const country = draft.record.country ?? (origin === '' ? null : origin)
  const { record } = draft
  const names = [record.name!, ...record.aliases!]
  return {
    ...record,
    country,
    techniques: [...byId.values()].sort((a, b) => a.id < b.id ? -1 : 1).slice(0, BOUNDS.techniques),
    ...inferCategory({
      types: draft.types,
      sponsor: null,
      incidents: [],
      motives: draft.motives,
      country,
      names,
      description: record.description ?? ''
    })
  }
}

function externalReferences (fields: Fields): Fields[] {
  return asList(fields.external_references, BOUNDS.references).map(asFields).filter((each) => each !== null)
}

function isAttackSource (name: unknown): boolean {
  return name === 'mitre-attack' || name === 'mitre-mobile-attack' || name === 'mitre-ics-attack'
}

function toReferences (external: Fields[]): Reference[] {
  return external.map((each) =>
    asReference(each.url, isAttackSource(each.source_name) ? 'MITRE ATT&CK' : each.source_name)
  ).filter((reference) => reference !== null)
}
