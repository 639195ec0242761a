import t from 'tap'
import { Pool } from 'undici'
import { openInspector } from '../../inspector.ts'
import { scaled } from '../../scale.ts'
import { startServer } from '../../server.ts'

/**
 * Every document is new. What the server keeps of them (documents, errors, compiled queries, histories) must stay
 * bounded: as shipped, mercurius keeps 1,024 failed documents with their errors and dies. 1,500 are more than that. Ten and three thousand nightly.
 */
const INVALID = scaled(1_500, 10_000)
const VALID = scaled(300, 3_000)
const GROWTH_BYTES_MAX = 64 * 1_048_576
const IN_FLIGHT = 16

/** Refused by the parser, the armor, validation (three errors each) and the check of variables; 1 to 60 kB. */
function invalid (i: number): object {
  const filler = `# ${'x'.repeat(i % 100 === 0 ? 50_000 : 500)} ${i}\n`
  const fields = Array.from({ length: 100 }, (_, n) => `f${i}_${n}`).join(' ')
  switch (i % 5) {
    case 0: return { query: `${filler}{ health { status ` }
    case 1: return { query: `${filler}{ health { ${fields} } }` }
    case 2: return { query: `${filler}{ ${Array.from({ length: 40 }, (_, n) => `a${i}_${n}: health { status }`).join(' ')} }` }
    case 3: return { query: `${filler}query Q${i} ($v: Int!) { threatActors(first: $v) { totalCount } }`, variables: { v: `${i}${'v'.repeat(500)}` } }
    default: return { query: `${filler}{ ...F${i} } fragment F${i} on Nothing${i} { ${fields} }` }
  }
}

function valid (i: number): object {
  return { query: `# ${'y'.repeat(500)}\nquery Q${i} { ${Array.from({ length: 8 }, (_, n) => `a${i}_${n}: health { ${'status '.repeat(20)} notes }`).join(' ')} }` }
}

t.test(`${INVALID} invalid and ${VALID} valid documents, each another, leave nothing behind`, async (t) => {
  const server = await startServer(t, { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '1000000/60/0', LOG_LEVEL: 'warn' } })
  const inspector = await openInspector(server)
  const pool = new Pool(server.url, { connections: IN_FLIGHT })
  t.teardown(async () => { inspector.close(); await pool.destroy() })
  const counts = { data: 0, errors: 0, other: 0 }
  const send = async (body: object): Promise<void> => {
    const answer = await pool.request({ method: 'POST', path: '/graphql', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const text = await answer.body.text()
    if (answer.statusCode === 200 && text.startsWith('{"data"')) counts.data++
    else if (text.startsWith('{"errors"') && /"code":"NEKO_ERR_(INPUT|QUERY)/.test(text)) counts.errors++
    else counts.other++
  }
  const sendAll = async (count: number, make: (i: number) => object): Promise<void> => {
    let next = 0
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => { while (next < count) await send(make(next++)) }))
  }

  // Warm: code is compiled, pools and buffers are there.
  await sendAll(100, (i) => ({ query: `{ health { status } } # ${i}` }))
  Object.assign(counts, { data: 0, errors: 0, other: 0 })
  const before = await inspector.heapBytes()
  await sendAll(INVALID, invalid)
  await sendAll(VALID, valid)
  const after = await inspector.heapBytes()
  t.same(counts, { data: VALID, errors: INVALID, other: 0 })
  t.comment(`heap ${(before / 1_048_576).toFixed(1)} -> ${(after / 1_048_576).toFixed(1)} MB`)
  t.ok(after - before <= GROWTH_BYTES_MAX)
})
