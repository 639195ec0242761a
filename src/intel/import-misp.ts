/**
 * MISP galaxy clusters of type threat-actor: values in, records out. Reads value, uuid, description, meta (synonyms,
 * country, cfr-suspected-state-sponsor, cfr-type-of-incident, motive, since, refs, name-attribution).
 *
 * ATT&CK ids stand there as `G0006:<uuid of the namer>` in name-attribution, as a synonym, or only in an address of
 * the ATT&CK site among refs; the last is believed only when the others are silent, since an address may be
 * about somebody else.
 */
import { asAliases } from './aliases.ts'
import { inferCategory } from './category.ts'
import {
  asCountry,
  asDescription,
  asFields,
  asMoment,
  asReference,
  asText,
  asTexts,
  attackIdsOfUrls,
  isAttackId,
  sinceOfText,
  type Fields
} from './facts.ts'
import { BOUNDS, type ActorRecord } from './shapes.ts'
import type { RecordReader } from './import-shapes.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const DEPRECATED = /^\(?(deprecated|revoked)\b/i

export function createMispReader (): RecordReader {
  const records = new Map<string, ActorRecord>()
  const skipped = new Map<string, number>()
  let version = 0
  let type: string | null = null

  const skip = (reason: string): void => { skipped.set(reason, (skipped.get(reason) ?? 0) + 1) }

  return {
    take (element) {
      const fields = asFields(element)
      if (fields === null) return skip('not an object')
      const name = asText(fields.value, BOUNDS.nameChars)
      if (name === null) return skip('cluster without a value')
      if (typeof fields.uuid !== 'string' || !UUID.test(fields.uuid)) return skip('cluster without a uuid')
      if (fields.revoked === true) return skip('cluster revoked')
      if (fields.deprecated === true || DEPRECATED.test(name)) return skip('cluster deprecated')
      const key = fields.uuid.toLowerCase()
      if (records.has(key)) return skip('cluster with the uuid of another')
      records.set(key, toRecord(fields, name, key))
    },
    onField (field, value) {
      if (field === 'version' && typeof value === 'number' && Number.isFinite(value)) version = Math.trunc(value)
      if (field === 'type' && typeof value === 'string') type = value
    },
    finish () {
      // `version` stands behind the values in the files that MISP writes: it is known only now.
      const isOther = type !== null && type !== 'threat-actor'
      if (isOther && records.size > 0) skipped.set('cluster of another galaxy than threat-actor', records.size)
      return { records: isOther ? [] : [...records.values()].map((record) => ({ ...record, version })), skipped }
    },
    actorCount: () => records.size
  }
}

function toRecord (fields: Fields, name: string, key: string): ActorRecord {
  const meta = asFields(fields.meta) ?? {}
  const synonyms = asTexts(meta.synonyms, BOUNDS.aliases, BOUNDS.nameChars)
  const refs = asTexts(meta.refs, BOUNDS.references, BOUNDS.urlChars)
  const sponsors = asTexts(meta['cfr-suspected-state-sponsor'], 10, 100)
  const incidents = asTexts(meta['cfr-type-of-incident'], 10, 100)
  const motives = asTexts(meta.motive, 10, BOUNDS.motivationChars)
  const country = asTexts(meta.country, 5, 100).map(asCountry).find((code) => code !== null) ??
    sponsors.map(asCountry).find((code) => code !== null) ?? null
  const description = asDescription(fields.description)
  const aliases = asAliases(synonyms, name)
  return {
    source: 'misp-galaxy',
    key,
    version: 0,
    amends: null,
    name,
    aliases,
    attackIds: attackIdsOf(meta, synonyms, refs),
    country,
    ...inferCategory({
      types: [],
      sponsor: sponsors[0] ?? null,
      incidents,
      motives,
      country,
      names: [name, ...aliases],
      description: description ?? ''
    }),
    motivation: asText([...motives, ...incidents].join(', '), BOUNDS.motivationChars),
    techniques: [],
    references: refs.map((url) => asReference(url, null)).filter((reference) => reference !== null),
    firstSeen: asTexts(meta.since, 1, 40).map((text) => asMoment(text, 'start'))[0] ??
      asMoment(meta.since, 'start') ?? sinceOfText(description),
    lastSeen: asTexts(meta['last-seen'], 1, 40).map((text) => asMoment(text, 'end'))[0] ?? null,
    description
  }
}

function attackIdsOf (meta: Fields, synonyms: string[], refs: string[]): string[] {
  const attributed = asTexts(meta['name-attribution'], BOUNDS.aliases, BOUNDS.nameChars).map((text) =>
    text.split(':', 1)[0]!
  )
  const stated = [...attributed, ...synonyms].filter(isAttackId)
  return [...new Set(stated.length > 0 ? stated : attackIdsOfUrls(refs))].sort().slice(0, BOUNDS.attackIds)
}
