import type { FastifyRequest } from 'fastify'

/** Breaks the rule `walk-has-no-framework` on purpose, by a type alone: test/tidy.system.test.ts must see it. */
export type Broken = FastifyRequest
