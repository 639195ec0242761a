import { readFileSync } from 'node:fs'

/** Breaks the rule `pure-core` on purpose: test/tidy.system.test.ts must see it. */
export const broken = readFileSync
