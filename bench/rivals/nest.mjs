/**
 * What did the customer's own stack cost? NestJS 11 on Express, Apollo Server 5, @nestjs/throttler and helmet, set up
 * as their documentation shows: no playground, production, counts per client in memory.
 *
 * Its throttler before 6.7 kept one timer for each request and copied the list of all of them whenever one ran out: a
 * minute after 30,000 requests it answered nothing for seconds. That is not measured here.
 *
 * Plain JavaScript, with decorators called as the functions that they are: Node strips types but turns no decorator
 * into code.
 *
 *   node bench/rivals/nest.mjs <file of the facts>
 */
import 'reflect-metadata'
import { ApolloDriver } from '@nestjs/apollo'
import { Module } from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { Args, GqlExecutionContext, GraphQLModule, Query, Resolver } from '@nestjs/graphql'
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler'
import helmet from 'helmet'
import { openActors, SDL } from './actors.ts'

const actors = openActors(process.argv[2] ?? '')

class ThreatResolver {
  threatCounts () {
    return actors.counts()
  }

  threatActors (first) {
    return actors.page(first)
  }
}
const { prototype } = ThreatResolver
for (const name of ['threatCounts', 'threatActors']) {
  Query(name)(prototype, name, Object.getOwnPropertyDescriptor(prototype, name))
}
Args('first')(prototype, 'threatActors', 0)
Resolver()(ThreatResolver)

/** The guard looks for an HTTP context where GraphQL has its own (docs.nestjs.com, "Rate Limiting"). */
class GraphqlThrottlerGuard extends ThrottlerGuard {
  getRequestResponse (context) {
    const { req, res } = GqlExecutionContext.create(context).getContext()
    return { req, res }
  }
}

class AppModule {}
Module({
  imports: [
    ThrottlerModule.forRoot([{ ttl: 60_000, limit: 100 }]),
    GraphQLModule.forRoot({
      driver: ApolloDriver,
      typeDefs: SDL,
      playground: false,
      context: ({ req, res }) => ({ req, res })
    })
  ],
  providers: [ThreatResolver, { provide: APP_GUARD, useClass: GraphqlThrottlerGuard }]
})(AppModule)

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
// Each client is the one that the proxy names.
app.set('trust proxy', 'loopback')
app.use(helmet())
await app.listen(0, '127.0.0.1')
console.log(`listening ${await app.getUrl()}`)
