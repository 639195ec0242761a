/**
 * Administrators' edits: add, update, remove. An administrator's words are a record of their own beside those of the
 * other sources (source `administrator`), and readers see them first; so an import never overwrites a person, and
 * taking a word back (null) lets the sources speak again.
 */
import { attempt, type Audit } from '../audit/shapes.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND, NEKO_ERR_OVERLOADED, NEKO_ERR_STORE_DUPLICATE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { newId } from '../std/id.ts'
import type { Collection, Stored } from '../storage/port.ts'
import type { ActorStore } from './actor-store.ts'
import type { ActorInput, ActorPatch } from './actor-input.ts'
import type { Catalogue } from './catalogue.ts'
import { asReference, asText } from './facts.ts'
import { redirectsOf } from './import.ts'
import { actorId, foldName, leadRecord, recordKey, trustRank } from './match.ts'
import { toActor, toDocument } from './profile.ts'
import {
  BOUNDS,
  type ActorDocument,
  type ActorRecord,
  type ActorRedirect,
  type ThreatActor
} from './shapes.ts'

/** Each attempt is lost to another writer who won; five in a row is a storm. */
const ATTEMPTS_MAX = 5
const ID = /^ta_[0-9a-f]{20}$/
/** Above every grade that facts can reach: a person's word is last. */
const SAID_BY_PERSON = 5

interface Parts {
  actors: ActorStore
  redirects: Collection<ActorRedirect>
  audit: Audit
  clock: Clock
  catalogue: Catalogue
  /** To these documents, as they were and as they are: also where nobody knows whether it was made. */
  changed: (documents: readonly ActorDocument[]) => Promise<void>
}

interface Edits {
  add (input: ActorInput, by: string): Promise<ThreatActor>
  update (id: string, patch: ActorPatch, by: string): Promise<ThreatActor>
  remove (id: string, by: string): Promise<ThreatActor>
}

export function createEdits (parts: Parts): Edits {
  const { actors, redirects } = parts
  const find: Find = (id) => findActor(id, actors, redirects)
  return {
    add: (input, by) => add(parts, input, by),
    update: (id, patch, by) => update(parts, find, id, patch, by),
    remove: (id, by) => remove(parts, find, id, by)
  }
}

type Find = (id: string) => Promise<Stored<ActorDocument> | null>

/** By its id, or one it had before a merge; null when there is none. */
export async function findActor<T> (
  id: string,
  actors: { get (id: string): Promise<T | null> },
  redirects: Pick<Collection<ActorRedirect>, 'get'>
): Promise<T | null> {
  if (!ID.test(id)) return null
  const found = await actors.get(id)
  if (found !== null) return found
  const redirect = await redirects.get(id)
  return redirect === null ? null : await actors.get(redirect.to)
}

async function add (parts: Parts, input: ActorInput, by: string): Promise<ThreatActor> {
  const checked = await check('input', input)
  const fold = foldName(checked.name)
  await refuseTakenName(parts, fold, null)
  const key = await freeKey(parts, fold)
  const document = toDocument([withPatch(emptyRecord(key, null), checked)])
  return await audited(parts, { type: 'actor.add', by, touched: [document] }, async () => {
    await parts.actors.insert(document)
    return document
  })
}

/**
 * The key follows from the name, so that two who add it at the same moment meet at the same id, and one of them
 * loses. The name of an actor that was renamed since is free again, but its id is not.
 */
async function freeKey ({ actors, clock }: Parts, fold: string): Promise<string> {
  const holder = await actors.get(actorId({ source: 'administrator', key: fold }))
  if (holder === null) return fold
  if (holder.nameKey === fold) throw new NEKO_ERR_STORE_DUPLICATE(`an actor of this name or alias (${holder.id})`)
  return newId('manual', clock.now())
}

async function update (
  parts: Parts,
  find: Find,
  id: string,
  patch: ActorPatch,
  by: string
): Promise<ThreatActor> {
  const checked = await check('patch', patch)
  return await compareAndSet(ATTEMPTS_MAX, async () => {
    const stored = await find(id)
    if (stored === null) throw new NEKO_ERR_NOT_FOUND('There is no such actor')
    const { revision, ...before } = stored
    const document = amend(before, checked)
    if (document.nameKey !== before.nameKey) await refuseTakenName(parts, document.nameKey, before.id)
    return await audited(parts, { type: 'actor.update', by, touched: [document, before] }, async () => {
      if (await parts.actors.replace(document, revision) === null) throw new Outrun()
      return document
    }).catch(nullWhenOutrun)
  }, () => new NEKO_ERR_OVERLOADED(1))
}

/** Thrown where the audit must learn that the change was not made: another writer came between reading and writing. */
class Outrun extends Error {}

function nullWhenOutrun (error: unknown): null {
  if (error instanceof Outrun) return null
  throw error
}

async function remove (parts: Parts, find: Find, id: string, by: string): Promise<ThreatActor> {
  const stored = await find(id)
  if (stored === null) throw new NEKO_ERR_NOT_FOUND('There is no such actor')
  return await audited(parts, { type: 'actor.remove', by, touched: [stored] }, async () => {
    if (!await parts.actors.delete(stored.id)) throw new NEKO_ERR_NOT_FOUND('There is no such actor')
    for (const redirect of redirectsOf([stored]).keys()) await parts.redirects.delete(redirect)
    return stored
  })
}

/** Acknowledged when it is audited, written, and no process shows what was before. */
async function audited (
  parts: Parts,
  { type, by, touched }: { type: string, by: string, touched: readonly [ActorDocument, ...ActorDocument[]] },
  change: () => Promise<ActorDocument>
): Promise<ThreatActor> {
  try {
    return toActor(await attempt(parts.audit, { category: 'data', type, actor: by, target: touched[0].id }, change))
  } finally {
    await parts.changed(touched)
  }
}

/** @throws NEKO_ERR_STORE_DUPLICATE when another actor bears the name, proper or alias */
async function refuseTakenName ({ catalogue }: Parts, fold: string, exceptId: string | null): Promise<void> {
  const taken = (await catalogue.rows()).find((row) => row.id !== exceptId && row.names.includes(`\n${fold}\n`))
  if (taken !== undefined) throw new NEKO_ERR_STORE_DUPLICATE(`an actor of this name or alias (${taken.id})`)
}

/**
 * Plain data that fits the schema.
 * @throws NEKO_ERR_INPUT_INVALID naming the field
 */
async function check<T extends ActorInput | ActorPatch> (kind: 'input' | 'patch', given: T): Promise<T> {
  const { problemIn } = await import('./actor-input.ts')
  const problem = problemIn(kind, given)
  if (problem !== null) throw new NEKO_ERR_INPUT_INVALID(problem)
  if (
    typeof given.firstSeen === 'number' && typeof given.lastSeen === 'number' &&
    given.firstSeen > given.lastSeen
  ) {
    throw new NEKO_ERR_INPUT_INVALID('lastSeen: must not be before firstSeen')
  }
  for (const { url } of given.references ?? []) {
    if (asReference(url, null) === null) {
      throw new NEKO_ERR_INPUT_INVALID('references: each url must be http or https, without credentials')
    }
  }
  for (const field of ['name', 'motivation', 'description'] as const) {
    if (typeof given[field] === 'string' && asText(given[field], BOUNDS.descriptionChars) === null) {
      throw new NEKO_ERR_INPUT_INVALID(`${field}: there is nothing to read in it`)
    }
  }
  return given
}

/** The document with the administrator's record in it changed or made. */
function amend (before: ActorDocument, patch: ActorPatch): ActorDocument {
  const own = before.records.find((record) => record.source === 'administrator')
  const others = before.records.filter((record) => record !== own)
  const lead = recordKey(leadRecord(before.records))
  const record = withPatch(own ?? emptyRecord(`amends ${lead}`, lead), patch)
  if (record.name === null && others.length === 0) {
    throw new NEKO_ERR_INPUT_INVALID('name: no source gives one, so it cannot be taken back')
  }
  return toDocument([record, ...others].sort((a, b) => trustRank(a) - trustRank(b)))
}

function emptyRecord (key: string, amends: string | null): ActorRecord {
  return {
    source: 'administrator',
    key,
    version: 0,
    amends,
    name: null,
    aliases: null,
    attackIds: [],
    country: null,
    category: 'UNKNOWN',
    categoryGrade: 0,
    motivation: null,
    techniques: null,
    references: null,
    firstSeen: null,
    lastSeen: null,
    description: null
  }
}

/** Built field by field: an input of GraphQL has no prototype and may hold undefined. */
function withPatch (record: ActorRecord, patch: ActorPatch): ActorRecord {
  const text = (given: string | null | undefined, kept: string | null, charsMax: number): string | null =>
    given === undefined ? kept : asText(given, charsMax)
  const kept = <T>(given: T | undefined, before: T): T => given === undefined ? before : given
  const { category } = patch
  return {
    ...record,
    name: text(patch.name, record.name, BOUNDS.nameChars),
    aliases: patch.aliases === undefined ? record.aliases : cleanAliases(patch.aliases),
    country: kept(patch.country, record.country),
    category: category === undefined ? record.category : category ?? 'UNKNOWN',
    categoryGrade: category === undefined ? record.categoryGrade : category === null ? 0 : SAID_BY_PERSON,
    motivation: text(patch.motivation, record.motivation, BOUNDS.motivationChars),
    techniques: patch.techniques === undefined
      ? record.techniques
      : patch.techniques?.map((id) => ({ id, name: null })) ?? null,
    references: patch.references === undefined
      ? record.references
      : patch.references?.map(({ url, name }) => ({ url, name: asText(name, BOUNDS.referenceNameChars) })) ??
        null,
    firstSeen: kept(patch.firstSeen, record.firstSeen),
    lastSeen: kept(patch.lastSeen, record.lastSeen),
    description: text(patch.description, record.description, BOUNDS.descriptionChars)
  }
}

function cleanAliases (aliases: string[] | null): string[] | null {
  return aliases === null
    ? null
    : aliases.map((alias) => asText(alias, BOUNDS.nameChars)).filter((alias) => alias !== null)
}
