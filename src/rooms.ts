import { receiptsGraphql } from './receipts/graphql.ts'
import { assessGraphql } from './transports/assess/graphql.ts'
import { auditGraphql } from './audit/graphql.ts'
import { decisionsGraphql } from './decisions/graphql.ts'
import { identityGraphql } from './identity/graphql.ts'
import { intelGraphql } from './intel/graphql.ts'
import { limitsGraphql } from './limits/graphql.ts'
import { incidentsGraphql } from './incidents/graphql.ts'
import { playbooksGraphql } from './playbooks/graphql.ts'
import { webhooksGraphql } from './webhooks/graphql.ts'
import { cachesGraphql } from './transports/graphql/caches.ts'
import { platformGraphql } from './transports/graphql/platform.ts'
import type { RoomGraphql } from './schema/context.ts'

/** Every room that speaks GraphQL, by hand: what is not listed here is not in the schema. */
export const rooms: readonly RoomGraphql[] = [
  platformGraphql,
  cachesGraphql,
  limitsGraphql,
  identityGraphql,
  intelGraphql,
  decisionsGraphql,
  receiptsGraphql,
  assessGraphql,
  incidentsGraphql,
  playbooksGraphql,
  webhooksGraphql,
  auditGraphql
]
