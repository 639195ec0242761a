/**
 * How much of one request is inspected. The rest is named in `notInspected`, never dropped silently: where the client
 * put it beyond one of these bounds, the score says so (`beyond`), and the raw bytes are scanned for the strongest
 * signs.
 */

/** Values judged in one request; the DEV corpus's widest webhook has about 900. */
export const VALUES_MAX = 4_096
/** Characters judged in one request, over all values. */
export const CHARACTERS_MAX = 1_048_576
/**
 * One value is judged in windows of this size that overlap by WINDOW_OVERLAP, so that a structure on the seam
 * is still seen.
 */
export const WINDOW_CHARACTERS = 65_536
export const WINDOW_OVERLAP = 512
/** Body bytes decoded into text. */
export const BODY_BYTES_MAX = 1_048_576
/** Nesting of JSON that is walked. */
export const JSON_DEPTH_MAX = 64
/**
 * A value is decoded again (percent, entities, escapes, base64, JSON) until nothing changes. Parsers in the wild stack
 * two or three of these steps, which are free; the characters of all further steps of a request have this bound
 * together.
 */
export const FREE_DECODE_STEPS = 4
export const DECODED_CHARACTERS_MAX = 131_072
/** Text inside text (JSON or base64 in a string) that is free, and the depth where a chain of it ends. */
export const FREE_NESTED_DEPTH = 2
export const NESTED_TEXT_DEPTH_MAX = 32
/** The depth of a value in which nothing is nested: agents, prologs, pieces of files. */
export const FLAT = NESTED_TEXT_DEPTH_MAX + 1
/** Texts found in one value as base64. */
export const ENCODED_TEXTS_MAX = 16
/** Parts of a multipart body, parameters of a query, pairs of a cookie. */
export const PARTS_MAX = 512
/** The head of one part, and its field's and file's names. */
export const PART_HEAD_CHARACTERS_MAX = 4_096
export const PART_NAME_CHARACTERS_MAX = 400
export const FILE_NAME_CHARACTERS_MAX = 1_000
/** Names of one file, and boundaries of one body: parsers take the first or the last, so both are always kept. */
export const FILE_NAMES_MAX = 4
export const BOUNDARIES_MAX = 3
/** Segments of a path that are judged one by one; the path as a whole always is. */
export const PATH_SEGMENTS_MAX = 32
/** Path that is compared with what scanners ask for (signs/scanner-paths.ts). */
export const SCANNED_PATH_CHARACTERS_MAX = 512
/** Target that history remembers (clients/traits.ts). */
export const REMEMBERED_TARGET_CHARACTERS_MAX = 1_024
/** Bounds of XML: text before the first element, attributes of one element, texts read as one. */
export const XML_PROLOG_CHARACTERS_MAX = 16_384
export const XML_ATTRIBUTES_MAX = 64
export const XML_JOINED_CHARACTERS_MAX = 65_536
/** Text after the first mark of an inclusion, in pieces of 4,096 characters. */
export const XML_INCLUDED_CHARACTERS_MAX = 65_536
/** Markers of code looked for in a file, of each kind, and what is read after one. */
export const FILE_MARKERS_MAX = 32
export const FILE_MARKER_CHARACTERS = 400
/** Text that stands among the bytes of a file: shorter pieces come about by chance; all pieces of one file. */
export const FILE_TEXT_CHARACTERS_MIN = 16
export const FILE_TEXTS_MAX = 256
/** Bytes in which pieces of text of five characters are read; in more of them pieces of eight (text-in-bytes.ts). */
export const SHORT_BYTES_MAX = 4_096
/** Remarks on what was left out; the last says that there are more. */
export const REMARKS_MAX = 16
/** Longest place name and evidence text. */
export const PLACE_CHARACTERS_MAX = 64
export const EVIDENCE_CHARACTERS_MAX = 160
export const EVIDENCE_MAX = 8
