/** Linked from nowhere, so that whoever asks for one guesses or scans. */
const OWN_DECOYS = ['/internal-admin-backup/', '/.decoy', '/api/v0/debug/keys', '/old-console/']

/**
 * Where each decoy answers, with the path that it was configured as: a folder also without its slash.
 * @param configured DECOY_PATHS; none of ours either when it is empty
 */
export function decoyUrls (configured: readonly string[]): Map<string, string> {
  const paths = configured.length === 0 ? [] : [...configured, ...OWN_DECOYS]
  return new Map(paths.flatMap((path) => path.length > 1 && path.endsWith('/')
    ? [[path, path], [path.slice(0, -1), path]] as const
    : [[path, path]] as const))
}
