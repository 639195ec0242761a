import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import fc from 'fast-check'
import { readFrame, writeFrame, type Frame } from '../../src/cache/frame.ts'
import type { Json } from '../../src/std/json.ts'

const frame: Frame = { asOfMicros: 1_800_000_000_000_000, run: 'r', freshForMs: 1_000, staleForMs: 0, references: ['a', '\ud800', '__proto__'], about: null, body: Buffer.from([0, 255, 10, 13]) }

t.test('what was written is read, byte by byte', (t) => {
  fc.assert(fc.property(fc.uint8Array(), fc.array(fc.string({ unit: 'binary' }), { maxLength: 5 }), fc.jsonValue(), (body, references, about) => {
    const made: Frame = { ...frame, body: Buffer.from(body), references, about: JSON.parse(JSON.stringify(about)) as Json }
    return isDeepStrictEqual(readFrame(writeFrame(made)), made)
  }), { numRuns: 200 })
  t.end()
})

t.test('the body is no part of the bytes that were read', (t) => {
  const bytes = writeFrame(frame)
  const { body } = readFrame(bytes)!
  t.not(body.buffer, bytes.buffer)
  t.equal(body.buffer.byteLength, body.length)
  t.end()
})

t.test('what is no frame is no answer, whatever it is', (t) => {
  const bytes = writeFrame(frame)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => readFrame(Buffer.from(noise)) === null), { numRuns: 500 })
  for (let length = 0; length < bytes.length - frame.body.length; length++) t.equal(readFrame(bytes.subarray(0, length)), null)
  const spoiled: Array<Partial<Record<keyof Frame, unknown>>> = [
    { asOfMicros: '1' }, { asOfMicros: null }, { asOfMicros: 1.5 }, { run: 1 }, { run: undefined }, { freshForMs: -1 }, { freshForMs: 1e12 }, { staleForMs: null },
    { staleForMs: 'x' }, { references: null }, { references: [1] }, { references: {} }, { references: Array(257).fill('x') }, { about: undefined }
  ]
  for (const part of spoiled) t.equal(readFrame(writeFrame({ ...frame, ...part } as unknown as Frame)), null, JSON.stringify(part))
  for (const header of ['null', '[]', '1', '"x"', '{"__proto__":{}}']) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(header.length)
    t.equal(readFrame(Buffer.concat([length, Buffer.from(header)])), null, header)
  }
  t.end()
})
