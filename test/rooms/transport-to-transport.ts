import { createGate } from '../../src/transports/http/gate.ts'

/** Breaks the rule `transports-know-no-other` on purpose: test/tidy.system.test.ts must see it. */
export const broken = createGate
