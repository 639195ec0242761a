import { foldName } from '../../src/intel/match.ts'

/** Breaks the rule `decisions-stays-below` on purpose: test/tidy.system.test.ts must see it. */
export const broken = foldName
