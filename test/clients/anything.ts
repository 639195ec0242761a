import fc from 'fast-check'

/** A request of any bytes. */
export const anything = fc.record({
  url: fc.string({ unit: 'binary', maxLength: 300 }),
  headers: fc.array(fc.string({ maxLength: 40 }), { maxLength: 20 }),
  body: fc.uint8Array({ maxLength: 2000 })
})
