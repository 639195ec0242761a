/**
 * An administrator's input: a new actor, or a change of one. Loaded with the first edit and not at start: TypeBox is
 * 260 files, a tenth of a process's start, and edits are rare.
 */
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { BOUNDS, THREAT_CATEGORIES } from './shapes.ts'

const Name = Type.String({ minLength: 1, maxLength: BOUNDS.nameChars, pattern: '\\S' })
const HttpUrl = Type.String({ minLength: 10, maxLength: BOUNDS.urlChars, pattern: '^https?://[^\\s/]' })
const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const facts = {
  aliases: OrNull(Type.Array(Name, { maxItems: BOUNDS.aliases })),
  country: OrNull(Type.String({ pattern: '^[A-Z]{2}$' })),
  category: OrNull(Type.Union(THREAT_CATEGORIES.map((category) => Type.Literal(category)))),
  motivation: OrNull(Type.String({ minLength: 1, maxLength: BOUNDS.motivationChars })),
  techniques: OrNull(Type.Array(Type.String({ pattern: '^T\\d{4}(\\.\\d{3})?$' }), { maxItems: BOUNDS.techniques })),
  references: OrNull(Type.Array(Type.Object({
    name: OrNull(Type.String({ minLength: 1, maxLength: BOUNDS.referenceNameChars })),
    url: HttpUrl
  }, { additionalProperties: false }), { maxItems: BOUNDS.references })),
  firstSeen: OrNull(Type.Number({ minimum: 0, maximum: 4_102_444_800_000 })),
  lastSeen: OrNull(Type.Number({ minimum: 0, maximum: 4_102_444_800_000 })),
  description: OrNull(Type.String({ minLength: 1, maxLength: BOUNDS.descriptionChars }))
}

/** A new actor. Techniques are ATT&CK ids; times ms since the epoch. */
const ActorInput = Type.Object({ name: Name, ...facts }, { additionalProperties: false })
export type ActorInput = Static<typeof ActorInput>

/** A change: an absent field stays; null takes the administrator's word back, so that the sources speak again. */
const ActorPatch = Type.Object({ name: OrNull(Name), ...facts }, { additionalProperties: false, minProperties: 1 })
export type ActorPatch = Static<typeof ActorPatch>

const EXPECTED: Readonly<Record<string, string>> = {
  name: `a name has 1 to ${BOUNDS.nameChars} characters and is not blank`,
  aliases: `at most ${BOUNDS.aliases} names of 1 to ${BOUNDS.nameChars} characters, none of them blank`,
  country: 'two capital letters of ISO 3166-1, like RU',
  motivation: `1 to ${BOUNDS.motivationChars} characters`,
  techniques: `at most ${BOUNDS.techniques} ids of ATT&CK, like T1566.001`,
  references: `at most ${BOUNDS.references}, each with an http or https address`,
  firstSeen: 'a date from 1970 to 2099',
  lastSeen: 'a date from 1970 to 2099',
  description: `1 to ${BOUNDS.descriptionChars} characters`
}

/** The first field that does not fit, and what it takes; null when all do. */
export function problemIn (kind: 'input' | 'patch', given: unknown): string | null {
  const problem = Value.Errors(kind === 'input' ? ActorInput : ActorPatch, given).First()
  if (problem === undefined) return null
  const field = problem.path.split('/')[1]
  return `${problem.path === '' ? 'the input' : problem.path.slice(1)}: ${EXPECTED[field ?? ''] ?? problem.message}`
}
