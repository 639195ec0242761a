import type { StoredAssessment } from '../../src/receipts/shapes.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'

/** In the path, a header, the body and the evidence of each: as the version before stored an ordinary login. */
export const OLD_SECRET = 'hUnter7Zq9x'

/** A receipt as it was stored; of a request and its score, when they are given. */
export function oldReceipt (index: number, about?: { given: Observation, score: Score }): StoredAssessment {
  const observation = about?.given
  const body = observation?.body ?? new TextEncoder().encode(JSON.stringify({ query: 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', variables: { u: 'admin', p: OLD_SECRET } }))
  return {
    id: `as_000000000000_${index.toString(36)}`,
    at: observation?.at ?? 1_900_000_000_000 + index,
    client: observation?.client ?? 'ip:192.0.2.7',
    address: '192.0.2.7',
    method: 'POST',
    path: observation?.url ?? '/graphql',
    route: '/graphql',
    status: 200,
    score: about?.score.value ?? 31.5,
    action: 'ALLOW',
    simulated: false,
    source: 'thread',
    degraded: false,
    policyVersion: about?.score.policyVersion ?? 'old',
    factors: about?.score.factors ?? [{ name: 'payload', contribution: 31.5, evidence: [{ rule: 'sqli.tautology', place: 'variables.p', grade: 'likely', text: `matched "${OLD_SECRET}' or 1=1" in variables.p`, technique: 'T1190' }] }],
    grade: about?.score.grade ?? 'likely',
    notInspected: [],
    decisionId: null,
    external: false,
    observation: {
      method: 'POST',
      url: observation?.url ?? `/graphql?pw=${OLD_SECRET}`,
      headers: observation?.headers ?? ['host', 'a', 'x-session', OLD_SECRET],
      bodyBase64: Buffer.from(body).toString('base64'),
      route: '/graphql',
      history: observation === undefined || observation.history === null ? null : { ...observation.history },
      masked: []
    },
    expiresAt: 4_000_000_000_000
  }
}
