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

/** Linked from nowhere, and known to the scorer as decoys whatever DECOY_PATHS says. */
const OWN_DECOYS = ['/internal-admin-backup/', '/.decoy', '/api/v0/debug/keys', '/old-console/']

/** @param configured DECOY_PATHS; none of ours either when it is empty */
export function createDecoys (configured: readonly string[]): Decoys {
  const paths = configured.length === 0 ? [] : [...configured, ...OWN_DECOYS]
  const urls = new Map(paths.flatMap((path) => path.length > 1 && path.endsWith('/')
    ? [[path, path], [path.slice(0, -1), path]] as const
    : [[path, path]] as const))

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
