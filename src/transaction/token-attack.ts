import type { Transaction } from './transaction.ts'

const TOKEN_RULE = 'headers.token-head'
/** Factors that speak of something beside the token; the others tell of the token, or of more like it before. */
const BESIDE_TOKEN: ReadonlySet<string> = new Set(['payload', 'endpoint', 'userAgent'])

/**
 * True for a request whose refused credential is itself the attack. It is answered 401 like any other credential that
 * does not hold, so that its bearer learns nothing; its receipt and the playbooks say BLOCK.
 */
export function isTokenAlone ({ credentialRefused, score }: Transaction, challengeThreshold: number): boolean {
  if (credentialRefused === null || score === null) return false
  if (!score.factors.some(({ evidence }) => evidence.some((one) => one.rule === TOKEN_RULE))) return false
  const rest = score.factors.reduce((sum, { name, contribution }) =>
    BESIDE_TOKEN.has(name) ? sum + contribution : sum, 0)
  return rest < challengeThreshold
}
