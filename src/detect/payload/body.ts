import { BODY_BYTES_MAX, PARTS_MAX } from './bounds.ts'
import { formInCharset, textsOf } from './charsets.ts'
import { beginsAsFile, isBinary, isMostlyReadable } from './files.ts'
import { inspectForm } from './form.ts'
import { inspectGraphql } from './graphql-values.ts'
import { inspectBytes, inspectFile, inspectValue, leaveBeyond } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { inspectJsonBody } from './json-body.ts'
import { boundariesOf, inspectMultipart } from './multipart.ts'
import { inspectCertain, inspectTextInBytes } from './text-in-bytes.ts'
import { inspectXml } from './xml.ts'

type BodyKind = 'multipart' | 'file' | 'json' | 'graphql' | 'form' | 'xml' | 'bytes' | 'text'

/** What the head of a request says about its body, or about one part of it. */
interface BodyHead {
  /** Every content type that was sent: parsers take the first, the last, or both as one. */
  contentTypes: string[]
  encoding: string
  graphqlRoute: boolean
}

/**
 * The raw body in every reading that a parser may take: as its content types say and as it looks, in the charset they
 * name and in UTF-8.
 */
export function inspectBody (inspection: Inspection, bytes: Uint8Array, head: BodyHead): void {
  if (bytes.length === 0) return
  if (head.encoding !== '' && head.encoding !== 'identity') {
    leaveBeyond(inspection, `body: ${head.encoding.slice(0, 20)} encoded`)
  }
  if (bytes.length > BODY_BYTES_MAX) {
    leaveBeyond(inspection, `body: ${bytes.length} bytes, beyond the bound of ${BODY_BYTES_MAX}`)
  }
  const read = bytes.length > BODY_BYTES_MAX ? bytes.subarray(0, BODY_BYTES_MAX) : bytes
  const declared = head.contentTypes.join(', ')
  const types = declared.toLowerCase()
  const { texts, charsets, unread } = textsOf(read, types)
  for (const charset of unread) leaveBeyond(inspection, `body: in ${charset}, which is not read here`)
  const kinds = kindsOf(head.contentTypes, types)
  for (const text of texts) inspectText(inspection, text, kinds, declared, head.graphqlRoute)
  if (isBinary(texts[0] as string)) inspectDeclaredText(inspection, texts[0] as string, types)
  if (!kinds.includes('form')) return
  for (const charset of charsets) {
    const text = formInCharset(texts[0] as string, charset)
    if (text !== texts[0]) inspectForm(inspection, text, 'form', 'body', head.graphqlRoute)
  }
}

/** Kinds that the content types name, the one that a strict parser takes first. */
function kindsOf (contentTypes: string[], types: string): BodyKind[] {
  const kinds: BodyKind[] = []
  if (contentTypes.length === 0) return kinds
  for (const type of contentTypes) {
    const semicolon = type.indexOf(';')
    addKind(kinds, kindOf((semicolon === -1 ? type : type.slice(0, semicolon)).trim().toLowerCase()))
  }
  // Lax parsers look for a word anywhere in the header; only a name of a type after the first is worth a reading.
  if (contentTypes.length > 1 || types.indexOf('/') !== types.lastIndexOf('/')) {
    for (const match of types.match(TYPE_NAME) ?? []) addKind(kinds, kindOf(match))
  }
  return kinds
}

const TYPE_NAME = /\b(?:application|multipart|text)\/[\w.+-]{1,60}/g

function addKind (kinds: BodyKind[], kind: BodyKind | null): void {
  if (kind !== null && !kinds.includes(kind)) kinds.push(kind)
}

function kindOf (type: string): BodyKind | null {
  if (type.startsWith('multipart/')) return 'multipart'
  if (/^(?:image|audio|video|font)\//.test(type) && !type.includes('svg')) return 'file'
  if (type.includes('json')) return 'json'
  if (type.includes('graphql')) return 'graphql'
  if (type.includes('x-www-form-urlencoded')) return 'form'
  if (type.includes('xml') || type.includes('svg')) return 'xml'
  return null
}

/** One text as each of its kinds. */
function inspectText (
  inspection: Inspection,
  text: string,
  declared: readonly BodyKind[],
  contentTypes: string,
  graphqlRoute: boolean
): void {
  const look = lookOf(text, declared.includes('file') ? contentTypes : false)
  let isRead = false
  for (const kind of declared) {
    if (kind === look || kind === 'file') continue
    if (inspectAs(inspection, kind, text, contentTypes, graphqlRoute)) isRead = true
  }
  // What does not look like anything is text; a declared kind that read it as a whole has judged that text.
  if (isRead && (look === 'text' || look === 'bytes')) return
  // A GraphQL document begins like JSON.
  if (isRead && look === 'json' && declared.includes('graphql') && !OPENS_JSON.test(text)) return
  const isWhole = inspectAs(inspection, look, text, contentTypes, graphqlRoute) &&
    (look !== 'multipart' || declared.includes('multipart'))
  if (!isWhole) inspectAs(inspection, 'text', text, contentTypes, graphqlRoute)
}

/** Bytes that were sent as text are text to a handler, and so may be those of which nothing was said. */
function inspectDeclaredText (inspection: Inspection, text: string, types: string): void {
  if (types.trimStart().startsWith('text/')) inspectTextInBytes(inspection, 'text', 'body', text, '')
  else if (types === '' || types.includes('octet-stream')) inspectCertain(inspection, 'text', 'body', text, '')
}

/** JSON and no document: no selection begins with a string. */
const OPENS_JSON = /^[\s\ufeff]{0,64}[{[][\s\ufeff]{0,64}["{[\]}]/

/** The kind that the text shows, whatever was declared. `fileType`: of a body that was sent as a file. */
function lookOf (text: string, fileType: string | false): BodyKind {
  const start = text.slice(0, 256).trimStart()
  if (start.startsWith('{') || start.startsWith('[')) return 'json'
  if (start.startsWith('<?xml') || start.startsWith('<!DOCTYPE')) return 'xml'
  if (start.startsWith('--') && /^content-disposition:/im.test(text.slice(0, 4_096))) return 'multipart'
  const binary = isBinary(text)
  if (beginsAsFile(text, fileType, binary)) return 'file'
  if (binary) return 'bytes'
  if (/^[\w.[\]%-]{1,64}=/.test(start) && !/[\s<>"'{}]/.test(text.trim())) return 'form'
  return 'text'
}

/** Judges a text as one kind; false when it is not of that kind, and is to be judged as text too. */
function inspectAs (
  inspection: Inspection,
  kind: BodyKind,
  text: string,
  contentTypes: string,
  graphqlRoute: boolean
): boolean {
  switch (kind) {
    case 'multipart': {
      let isRead = false
      for (const boundary of boundariesOf(inspection, contentTypes, text)) {
        isRead = inspectMultipart(inspection, text, boundary, PARTS_MAX) || isRead
      }
      return isRead
    }
    case 'file':
      inspectFile(inspection, text, 'body')
      return true
    case 'json':
      inspectJsonBody(inspection, text, 'body', graphqlRoute)
      return true
    case 'graphql': return inspectGraphql(inspection, 'graphql', text, 'post')
    case 'form':
      inspectForm(inspection, text, 'form', 'body', graphqlRoute)
      return true
    case 'xml':
      inspectXml(inspection, text, 'body')
      return text.slice(0, 256).trimStart().startsWith('<')
    case 'bytes':
      inspectBytes(inspection, text, 'body')
      return !isMostlyReadable(text)
    case 'text':
      inspectValue(inspection, 'text', 'body', text, '', 0)
      return true
  }
}
