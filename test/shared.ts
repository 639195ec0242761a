import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Real input (corpora, intel) stands beside the project, in `../shared`, and is no part of it.
 * Returns the path of one file there, or null when it is absent: the test then says so and is skipped.
 */
export function sharedPath (name: string): string | null {
  const path = fileURLToPath(new URL(`../../shared/${name}`, import.meta.url))
  return existsSync(path) ? path : null
}
