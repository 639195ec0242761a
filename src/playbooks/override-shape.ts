import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ConfigError } from '../config/config.ts'
import { PLAYBOOK_NAMES } from './shapes.ts'

/** The shape of playbooks.json. Loaded only where there is one: TypeBox is 260 files, a tenth of a process's start. */

/** A condition is asked for or left out: `false` would hold for every request, and is refused. */
const Asked = Type.Literal(true)
const Seconds = Type.Integer({ minimum: 1, maximum: 30 * 86_400 })
const Condition = Type.Partial(Type.Object({
  scoreAtLeast: Type.Number({ minimum: 0, maximum: 100 }),
  challengingScore: Asked,
  blockingScore: Asked,
  certainEvidence: Asked,
  decoy: Asked,
  automation: Asked,
  anomaly: Asked,
  refusals600sAtLeast: Type.Integer({ minimum: 1, maximum: 1000 }),
  exhausts600sAtLeast: Type.Integer({ minimum: 1, maximum: 1000 }),
  limitViolation: Asked
}, { additionalProperties: false, minProperties: 1 }))
const StepOf = Type.Union([
  Type.Object({ do: Type.Literal('block'), ttlSeconds: Seconds, when: Type.Optional(Condition) }, {
    additionalProperties: false
  }),
  Type.Object({
    do: Type.Union([Type.Literal('quarantine'), Type.Literal('limit'), Type.Literal('watch')]),
    seconds: Seconds
  }, { additionalProperties: false }),
  Type.Object({
    do: Type.Union([
      Type.Literal('escalate'),
      Type.Literal('alert'),
      Type.Literal('capture'),
      Type.Literal('tag')
    ])
  }, { additionalProperties: false })
])
const Override = Type.Object({
  name: Type.Union(PLAYBOOK_NAMES.map((name) => Type.Literal(name))),
  description: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
  when: Type.Optional(Condition),
  orWhen: Type.Optional(Condition),
  steps: Type.Optional(Type.Array(StepOf, { maxItems: 10 })),
  opensIncident: Type.Optional(Type.Boolean()),
  windowSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 }))
}, { additionalProperties: false })
const Overrides = Type.Array(Override, { maxItems: PLAYBOOK_NAMES.length })
export type Overrides = Static<typeof Overrides>

/** @throws ConfigError naming DATA_DIR and the place */
export function parseOverrides (text: string): Overrides {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    throw new ConfigError('DATA_DIR', 'holds a playbooks.json that is no JSON')
  }
  if (Value.Check(Overrides, given)) {
    if (new Set(given.map(({ name }) => name)).size !== given.length) {
      throw new ConfigError('DATA_DIR', 'holds a playbooks.json that names a playbook twice')
    }
    return given
  }
  const problem = Value.Errors(Overrides, given).First()
  throw new ConfigError(
    'DATA_DIR',
    `holds a playbooks.json that is wrong at ${problem?.path || '/'}: ${problem?.message ?? ''}`
  )
}
