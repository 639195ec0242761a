import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../bytes.ts'
import { BODY_BYTES_MAX, PARTS_MAX } from './bounds.ts'
import { inspectBinary } from './binary.ts'
import { inspectGraphql } from './graphql-values.ts'
import { inspectValue, leaveOut, parseJson } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { inspectForm } from './form.ts'
import { inspectJson } from './json-body.ts'
import { inspectMultipart } from './multipart.ts'
import { inspectXml } from './xml.ts'

/** The raw body, read as its content type says, or as it looks when the type says nothing. */
export function inspectBody (
  inspection: Inspection,
  bytes: Uint8Array,
  contentType: string,
  encoding: string,
  graphqlRoute: boolean
): void {
  if (bytes.length === 0) return
  if (encoding !== '' && encoding !== 'identity') return leaveOut(inspection, `body: ${encoding.slice(0, 20)} encoded`)
  if (bytes.length > BODY_BYTES_MAX) {
    leaveOut(inspection, `body: ${bytes.length} bytes, beyond the bound of ${BODY_BYTES_MAX}`)
  }
  const type = contentType.toLowerCase()
  const text = textOf(bytes.length > BODY_BYTES_MAX ? bytes.subarray(0, BODY_BYTES_MAX) : bytes, type)
  if (type.startsWith('multipart/')) return inspectMultipart(inspection, text, contentType, PARTS_MAX)
  if (
    type.startsWith('image/') || type.startsWith('audio/') || type.startsWith('video/') ||
    type.startsWith('font/')
  ) {
    return inspectBinary(inspection, text, 'body')
  }
  if (type.includes('json')) return inspectJsonBody(inspection, text, graphqlRoute)
  if (type.includes('graphql')) {
    if (!inspectGraphql(inspection, 'graphql', text, 'post')) inspectValue(inspection, 'text', 'body', text, '', 0)
    return
  }
  if (type.includes('x-www-form-urlencoded')) return inspectForm(inspection, text, 'form', 'body', graphqlRoute)
  if (type.includes('xml') || type.includes('svg')) return inspectXml(inspection, text, 'body')
  inspectUntyped(inspection, text, graphqlRoute)
}

/** Bytes as text: UTF-16 by its mark, UTF-8 where valid, else Latin-1, which loses nothing. */
function textOf (bytes: Uint8Array, type: string): string {
  const buffer = asBuffer(bytes)
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return buffer.toString('utf16le')
  if (bytes[0] === 0xfe && bytes[1] === 0xff && bytes.length % 2 === 0) {
    return Buffer.from(buffer).swap16().toString('utf16le')
  }
  if (type.includes('utf-16')) return buffer.toString('utf16le')
  return isUtf8(buffer) ? buffer.toString('utf8') : buffer.toString('latin1')
}

function inspectUntyped (inspection: Inspection, text: string, graphqlRoute: boolean): void {
  const start = text.slice(0, 64).trimStart()
  if (start.startsWith('{') || start.startsWith('[')) return inspectJsonBody(inspection, text, graphqlRoute)
  if (start.startsWith('<?xml') || start.startsWith('<!DOCTYPE')) return inspectXml(inspection, text, 'body')
  if (isBinary(text)) return inspectBinary(inspection, text, 'body')
  if (/^[\w.[\]%-]{1,64}=/.test(start) && !/[\s<>"'{}]/.test(text.trim())) {
    return inspectForm(inspection, text, 'form', 'body', graphqlRoute)
  }
  inspectValue(inspection, 'text', 'body', text, '', 0)
}

function isBinary (text: string): boolean {
  let control = 0
  const length = Math.min(text.length, 512)
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code < 9 || (code > 13 && code < 32 && code !== 27)) control++
  }
  return control > length / 50
}

function inspectJsonBody (inspection: Inspection, text: string, graphqlRoute: boolean): void {
  const value = parseJson(text)
  if (value === undefined) return inspectValue(inspection, 'text', 'body', text, '', 0)
  inspectJson(inspection, value, 'body', graphqlRoute)
}
