import { decoyUrls } from '../detect/signs/decoy-paths.ts'
import { asksDecoys, asksDecoysOnly } from './graphql-decoys.ts'

/**
 * Which requests touch a decoy: paths that only scanners ask for, and GraphQL fields that no schema has. The bait that
 * a decoy answers is its transport's.
 */
export interface Decoys {
  /** Where each decoy answers, with the path that it was configured as: a folder also without its slash. */
  readonly urls: ReadonlyMap<string, string>
  /** A route of the application stands there: no decoy. */
  yieldTo (url: string): void
  /**
   * Whether a sample would have touched one here.
   * @param isRefused its score refuses it: only documents of nothing but decoys answer all the same
   */
  isTouchedBy (
    request: { method: string, target: string, body: Uint8Array | null },
    isRefused: boolean
  ): boolean
}

/** Methods that a decoy's route answers. */
const DECOY_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST'])

/** @param configured DECOY_PATHS; none of ours either when it is empty */
export function createDecoys (configured: readonly string[]): Decoys {
  const urls = decoyUrls(configured)

  return {
    urls,
    yieldTo: (url) => { urls.delete(url) },
    isTouchedBy ({ method, target, body }, isRefused) {
      const path = pathOf(target)
      if (urls.has(path)) return DECOY_METHODS.has(method)
      if (path !== '/graphql') return false
      return isRefused ? asksDecoysOnly(target, body) : asksDecoys(target, body)
    }
  }
}

/** As the router reads it. */
function pathOf (target: string): string {
  const path = target.split('?', 1)[0] as string
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
