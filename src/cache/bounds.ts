/** Bounds that several files of the cache hold to. */

/** References of one answer: a page of 100 things and what counts them. More is not kept. */
export const REFERENCES_MAX = 256
/** As the configuration allows. */
export const FRESH_MS_MAX = 86_400_000
/** Beyond the freshness. */
export const STALE_MS_MAX = 3_600_000
