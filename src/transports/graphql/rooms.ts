import { receiptsGraphql } from '../../receipts/graphql.ts'
import { auditGraphql } from '../../audit/graphql.ts'
import { decisionsGraphql } from '../../decisions/graphql.ts'
import { identityGraphql } from '../../identity/graphql.ts'
import { intelGraphql } from '../../intel/graphql.ts'
import { limitsGraphql } from '../../limits/graphql.ts'
import { incidentsGraphql, incidentStatusGraphql } from '../../incidents/graphql.ts'
import { playbookRunGraphql, playbooksGraphql } from '../../playbooks/graphql.ts'
import { webhooksGraphql, webhookTypesGraphql } from '../../webhooks/graphql.ts'
import { platformGraphql } from './platform.ts'
import type { RoomGraphql } from '../../schema/context.ts'

/** Every room that speaks GraphQL, by hand: what is not listed here is not in the schema. */
export const rooms: readonly RoomGraphql[] = [
  platformGraphql,
  limitsGraphql,
  identityGraphql,
  intelGraphql,
  decisionsGraphql,
  receiptsGraphql,
  // These three rooms were one when the schema was published: their parts stand in the order in which it is printed.
  webhooksGraphql,
  incidentStatusGraphql,
  playbooksGraphql,
  incidentsGraphql,
  webhookTypesGraphql,
  playbookRunGraphql,
  auditGraphql
]
