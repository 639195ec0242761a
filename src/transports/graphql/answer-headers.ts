import type { KeptAnswer, Coding } from './kept-answer.ts'

/** What an answer says about being kept, by caches of ours and of others. Pure. */
export type CacheStatus = 'HIT' | 'MISS' | 'STALE' | 'BYPASS'

/** For errors, mutations, sign-in, and whatever is answered anew each time. */
export const NOT_KEPT: Readonly<Record<string, string>> = Object.freeze({
  'x-cache': 'BYPASS',
  'cache-control': 'no-store, no-cache, must-revalidate',
  pragma: 'no-cache'
})

const VARY = 'Authorization, x-api-key, Origin, Accept, Accept-Encoding'
const OWN_SECONDS_MAX = 60
const SHARED_SECONDS_MAX = 300

/** All headers of a kept answer but its length, its age and what its request puts there. */
export function keptHeaders (
  answer: KeptAnswer,
  { method, status, coding }: { method: string, status: CacheStatus, coding: Coding | null }
): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': answer.contentType, 'x-cache': status }
  if (coding !== null) headers['content-encoding'] = coding
  const isFetched = method === 'GET' || method === 'HEAD'
  if (status === 'STALE' || (!isFetched && answer.isShared)) {
    // Caches keep no answer to a POST, whatever it says; what is a caller's own may say how long the client can use it.
    // One that is only better than none is for nobody to keep.
    headers['cache-control'] = NOT_KEPT['cache-control'] as string
    headers.pragma = NOT_KEPT.pragma as string
  } else {
    const seconds = Math.floor(answer.freshForMs / 1000)
    const most = answer.isShared ? SHARED_SECONDS_MAX : OWN_SECONDS_MAX
    headers['cache-control'] = `private, max-age=${Math.min(seconds, most)}`
  }
  headers.vary = VARY
  if (isFetched) headers.etag = etagOf(answer, coding)
  return headers
}

/** Strong: another coding is another sequence of bytes. */
function etagOf ({ digest }: KeptAnswer, coding: Coding | null): string {
  return coding === null ? `"${digest}"` : `"${digest}-${coding}"`
}

/** Longer lists are read so far. */
const MATCHED_CHARACTERS_MAX = 4_000

/** Whether the caller has these bytes already (RFC 9110 13.1.2: by weak comparison). */
export function isHeld (etag: string | undefined, ifNoneMatch: string | undefined): boolean {
  if (etag === undefined || ifNoneMatch === undefined) return false
  return ifNoneMatch.slice(0, MATCHED_CHARACTERS_MAX).split(',').some((one) => {
    const tag = one.trim()
    return tag === '*' || tag.replace(/^W\//, '') === etag
  })
}
