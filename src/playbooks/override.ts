import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ConfigError } from '../config.ts'
import { PLAYBOOKS } from './catalogue.ts'
import { PLAYBOOK_NAMES, type Playbook } from './shapes.ts'

/**
 * Playbooks of one's own: `DATA_DIR/playbooks.json`, a list of playbooks by name, each replacing members of ours. Order
 * and names stay: they are the priority, and what other programs know.
 */
const Seconds = Type.Integer({ minimum: 1, maximum: 30 * 86_400 })
const Condition = Type.Partial(Type.Object({
  scoreAtLeast: Type.Number({ minimum: 0, maximum: 100 }),
  challengingScore: Type.Boolean(),
  blockingScore: Type.Boolean(),
  certainEvidence: Type.Boolean(),
  decoy: Type.Boolean(),
  automation: Type.Boolean(),
  anomaly: Type.Boolean(),
  refusals600sAtLeast: Type.Integer({ minimum: 1, maximum: 1000 }),
  limitViolation: Type.Boolean()
}, { additionalProperties: false, minProperties: 1 }))
const StepOf = Type.Union([
  Type.Object({ do: Type.Literal('block'), ttlSeconds: Seconds, when: Type.Optional(Condition) }, { additionalProperties: false }),
  Type.Object({ do: Type.Union([Type.Literal('quarantine'), Type.Literal('limit'), Type.Literal('watch')]), seconds: Seconds }, { additionalProperties: false }),
  Type.Object({ do: Type.Union([Type.Literal('escalate'), Type.Literal('alert'), Type.Literal('capture'), Type.Literal('tag')]) }, { additionalProperties: false })
])
const Override = Type.Object({
  name: Type.Union(PLAYBOOK_NAMES.map((name) => Type.Literal(name))),
  description: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
  when: Type.Optional(Condition),
  steps: Type.Optional(Type.Array(StepOf, { maxItems: 10 })),
  opensIncident: Type.Optional(Type.Boolean()),
  windowSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 }))
}, { additionalProperties: false })
const Overrides = Type.Array(Override, { maxItems: PLAYBOOK_NAMES.length })
type Overrides = Static<typeof Overrides>

/** Ours with the file's members over them. @throws ConfigError naming DATA_DIR when the file is there and wrong */
export function loadPlaybooks (dataDir: string): readonly Playbook[] {
  const overrides = readOverrides(dataDir)
  return PLAYBOOKS.map((playbook) => ({ ...playbook, ...overrides.find((one) => one.name === playbook.name) }) as Playbook)
}

/** What the file says, for the audit trail; nothing when there is none. @throws ConfigError as above */
export function readOverrides (dataDir: string): Overrides {
  let text: string
  try {
    text = readFileSync(join(dataDir, 'playbooks.json'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new ConfigError('DATA_DIR', 'holds a playbooks.json that cannot be read')
  }
  return parsed(text)
}

function parsed (text: string): Overrides {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    throw new ConfigError('DATA_DIR', 'holds a playbooks.json that is no JSON')
  }
  if (Value.Check(Overrides, given)) {
    if (new Set(given.map(({ name }) => name)).size !== given.length) throw new ConfigError('DATA_DIR', 'holds a playbooks.json that names a playbook twice')
    return given
  }
  const problem = Value.Errors(Overrides, given).First()
  throw new ConfigError('DATA_DIR', `holds a playbooks.json that is wrong at ${problem?.path || '/'}: ${problem?.message ?? ''}`)
}
