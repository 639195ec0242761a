import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { PLAYBOOKS } from './catalogue.ts'
import type { Overrides } from './override-shape.ts'
import type { Playbook } from './shapes.ts'

/**
 * Playbooks of one's own: `DATA_DIR/playbooks.json`, a list of playbooks by name, each replacing members of ours. Order
 * and names stay: they are the priority, and what other programs know.
 */

/**
 * Ours with the file's members over them.
 * @throws ConfigError naming DATA_DIR when the file is there and wrong
 */
export async function loadPlaybooks (dataDir: string): Promise<readonly Playbook[]> {
  const overrides = await readOverrides(dataDir)
  return PLAYBOOKS.map((playbook) =>
    ({ ...playbook, ...overrides.find((one) => one.name === playbook.name) }) as Playbook
  )
}

/**
 * The file's own words, for the audit trail; nothing when there is no file.
 * @throws ConfigError as above
 */
export async function readOverrides (dataDir: string): Promise<Overrides> {
  let text: string
  try {
    text = readFileSync(join(dataDir, 'playbooks.json'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new ConfigError('DATA_DIR', 'holds a playbooks.json that cannot be read')
  }
  const { parseOverrides } = await import('./override-shape.ts')
  return parseOverrides(text)
}
