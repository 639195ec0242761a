/**
 * The heads of multipart parts, where two parsers can be made to disagree: a charset that nobody sends, a transfer
 * encoding, a field name with a character that ends it for somebody else. File names are not judged: people call their
 * files `O'Brien; final.pdf`.
 */
import { sequence } from '../../std/regex.ts'
import { asBuffer } from '../bytes.ts'
import { addSign } from '../evidence.ts'
import type { Signs } from '../evidence.ts'

/**
 * Heads stand before contents; later ones are the payload factor's, which reads all of them by the same rules
 * (multipart.ts).
 */
const TEXT_MAX = 8192
const PARTS_MAX = 64

/** Adds what it finds in the first TEXT_MAX bytes of a multipart body. Linear. */
export function addPartHeadSigns (body: Uint8Array, signs: Signs): void {
  const text = asBuffer(body).toString('latin1', 0, Math.min(body.length, TEXT_MAX))
  let count = 0
  for (const match of text.matchAll(/\r?\n(content-(?:type|disposition|transfer-encoding)):([^\r\n]{0,300})/gi)) {
    if (++count > PARTS_MAX * 3) return
    addHeadSigns((match[1] as string).toLowerCase(), match[2] as string, signs)
  }
}

const KNOWN_CHARSET = sequence([
  /^/,
  [
    /utf-?8|us-ascii|ascii|iso-8859-\d{1,2}|windows-125\d|latin1|shift_jis|gbk|gb2312|gb18030|big5/,
    /euc-(?:jp|kr)/
  ],
  /$/
], 'i')

function addHeadSigns (name: string, value: string, signs: Signs): void {
  if (name === 'content-type') {
    const charset = /charset\s*=\s*"?([\w.:-]{1,40})/i.exec(value)
    if (
      charset !== null &&
      !KNOWN_CHARSET.test(charset[1] as string)
    ) {
      addSign(
        signs,
        0.76,
        'headers.part-charset',
        'body',
        `a part in ${charset[1]}, which no client sends`,
        'T1027'
      )
    }
    if (/boundary\s*=/i.test(value) && !/multipart\//i.test(value)) {
      addSign(signs, 0.5, 'headers.part-boundary', 'body', 'a part with a boundary of its own', 'T1027')
    }
  } else if (name === 'content-disposition') {
    const field = /[; ]name="([^"]{0,200})"/i.exec(value)
    if (
      field !== null &&
      /[;='&\\]/.test(
        (field[1] as string).replace(/&(?:amp|quot|lt|gt|#\d{1,5});/g, '&').replace(/\[[^[\]]*\]/g, '')
      )
    ) {
      addSign(
        signs,
        0.76,
        'headers.part-name',
        'body',
        'a field name with a character that ends it for some parsers',
        'T1027'
      )
    }
  } else if (/quoted-printable|base64|uuencode/i.test(value)) {
    addSign(
      signs,
      0.5,
      'headers.part-encoding',
      'body',
      'a transfer encoding inside a form (RFC 7578 4.7 forbids it)',
      'T1027'
    )
  }
}
