import { limitsGraphql } from '../limits/graphql.ts'
import { platformGraphql } from './platform.ts'
import type { RoomGraphql } from './context.ts'

/** Every room that speaks GraphQL, by hand: what is not listed here is not in the schema. */
export const rooms: readonly RoomGraphql[] = [
  platformGraphql,
  limitsGraphql
]
