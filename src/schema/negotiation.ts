/** The media types of GraphQL over HTTP, and which of them a caller prefers. Pure. */
export const JSON_TYPE = 'application/json; charset=utf-8'
export const RESPONSE_TYPE = 'application/graphql-response+json; charset=utf-8'

/** Longer Accept headers are read so far. */
const ACCEPT_CHARACTERS_MAX = 1000

/** True when the caller prefers application/graphql-response+json over application/json. */
export function acceptsGraphqlResponse (accept: string | undefined): boolean {
  if (accept === undefined || !accept.includes('graphql-response+json')) return false
  let graphqlQuality = 0
  let jsonQuality = 0
  for (const part of accept.slice(0, ACCEPT_CHARACTERS_MAX).split(',')) {
    const [type, ...parameters] = part.trim().toLowerCase().split(';')
    const quality = Number(
      parameters.map((parameter) => /^\s*q=([\d.]+)/.exec(parameter)?.[1]).find((q) => q !== undefined) ?? 1
    )
    if (type === 'application/graphql-response+json') graphqlQuality = quality
    else if (type === 'application/json') jsonQuality = quality
  }
  return graphqlQuality >= jsonQuality
}
