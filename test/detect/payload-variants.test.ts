import { test } from 'tap'
import { SCRIPT_VARIANTS } from './payload-variants-script.ts'
import { SQL_VARIANTS } from './payload-variants-sql.ts'
import { SYSTEM_VARIANTS } from './payload-variants-system.ts'
import { inForm, inJson, inQuery } from './payload-observation.ts'

const PLACES = { query: inQuery, form: inForm, json: (text: string) => inJson({ note: text }) }

for (const [family, variants] of Object.entries({ ...SQL_VARIANTS, ...SCRIPT_VARIANTS, ...SYSTEM_VARIANTS })) {
  test(`${family}: every variant is refused wherever it stands, and the text beside it is not even challenged`, (t) => {
    for (const [attack, ordinary] of variants) {
      for (const [place, judge] of Object.entries(PLACES)) {
        const [found, spared] = [judge(attack), judge(ordinary)]
        if (found.value < 0.75) t.fail(`${JSON.stringify(attack)} in ${place} has ${found.value} ${found.evidence[0]?.rule ?? ''}`)
        if (spared.value >= 0.4) t.fail(`${JSON.stringify(ordinary)} in ${place} has ${spared.value} ${spared.evidence[0]?.rule ?? ''}`)
      }
    }
    t.ok(variants.length > 3)
    t.end()
  })
}
