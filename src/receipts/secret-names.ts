import { anyOf, sequence } from '../std/regex.ts'

/**
 * Which names carry secrets: of headers, parameters, cookies, fields, options and variables. Pure.
 *
 * A name is judged twice: folded to letters and digits, by the words of secrets that no other word ends in, and by its
 * last part (`user_pw`, `userPw`), where the word is so short that others end in it.
 */

// After folding: lower case, only letters and digits, no number at the end. `token` alone is one, `tokens_used` is not;
// `author` is not `auth`.
const SECRET = anyOf([
  /passw|passphrase|passcode|passkey|pwd|pswd|kennwort|contrasen?a|motdepasse|wachtwoord/,
  /secret|credential|authorization|^auth$|authtoken|^x(?:auth|csrf|xsrf|hubsignature)/,
  /(?:api|access|private|signing|session|encryption|account|subscription|functions?|master|license)key/,
  /(?:host|shared|client|app|user|ssh|service|deploy|webhook)key$|^key$/,
  /token$|tokenvalue$|jwt$|^bearer$|assertion$|samlresponse/,
  /^otp$|otpcode|totp|twofactor|(?:2|m|t|two)fa$|^pin$|pincode|^cvv$|^cvc$|cardnumber|^ssn$/,
  /^sid$|sessionid|sessid|^session$|cookie/,
  /signature$|^sig$|^nonce$|mnemonic|seedphrase|^code$/,
  /(?:recovery|backup|verification|security|2fa|mfa|sms|login|reset)code$/,
  // `dbpass`, `new_pw`, `pass_confirm`; `compass` and `bypass` end so, too.
  sequence([
    [
      /^/,
      /u|user|usr|db|my|admin|root|login|mail|ftp|smtp|http|proxy|account|wifi|auth|key|web|sql|new|old|current/
    ],
    /(?:pass|pw)/,
    [/$/, /(?:confirm(?:ation|ed)?|again|repeat(?:ed)?|retyped?|verify|check|value|field|input|new|old)$/]
  ]),
  // Requests in a request: of GraphQL (mask-json.ts keeps what a factor saw), and bytes that nobody reads here.
  /^variables$|^body(?:b|base)$/
])

/** Words that are secrets as the last part of a name, and parts of other words elsewhere: `spin`, `compass`. */
const LAST_PART = sequence([
  /(?:^|[^a-zA-Z]|(?<=[a-z])(?=[A-Z]))/,
  [/pw|pass|pin|otp|tan|sid|jwt|auth|sig|session/, /P[Ww]|P(?:ass|ASS)|P(?:in|IN)|O(?:tp|TP)|T(?:an|AN)|S(?:id|ID)/,
    /J(?:wt|WT)|A(?:uth|UTH)|S(?:ig|IG)|S(?:ession|ESSION)/],
  /[^a-zA-Z]*$/
])
const ENDS_SO = /(?:pw|pass|pin|otp|tan|sid|jwt|auth|sig|session)$/
/** `x-key`, `x-foo-key`: of a header that somebody made, a key is what lets its sender in. */
const HEADER_KEY = /^x[-_](?:[\w-]{0,60}[-_])?key[\d_-]{0,8}$/i

/** Of the shortest, as `pw`. A hostile text is made of thousands of names, and most are short. */
const NAME_LENGTH_MIN = 2
const NAME_LENGTH_MAX = 256
/** Names of requests are the same few: what they were judged to be is kept, and forgotten when it is too much. */
const JUDGED_MAX = 1_000
const JUDGED_LENGTH_MAX = 40
const judged = new Map<string, boolean>()

/**
 * True when the value under this name must not be kept. Any spelling: `API-Key`, `api_key`, `apiKey`,
 * `user[password]`.
 */
export function isSecretName (name: string): boolean {
  if (name.length > NAME_LENGTH_MAX) return true
  if (name.length < NAME_LENGTH_MIN) return false
  if (name.length > JUDGED_LENGTH_MAX) return judge(name)
  const known = judged.get(name)
  if (known !== undefined) return known
  if (judged.size >= JUDGED_MAX) judged.clear()
  const isSecret = judge(name)
  judged.set(name, isSecret)
  return isSecret
}

function judge (name: string): boolean {
  const last = lastName(name)
  const folded = withoutEndingDigits(last.toLowerCase().replace(/[^a-z0-9]+/g, ''))
  if (folded.length < NAME_LENGTH_MIN) return false
  return SECRET.test(folded) || (ENDS_SO.test(folded) && LAST_PART.test(last)) ||
    (folded.endsWith('key') && HEADER_KEY.test(last))
}

/** An expression that is anchored at the end alone would try each digit as a beginning. */
function withoutEndingDigits (text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) >= 0x30 && text.charCodeAt(end - 1) <= 0x39) end--
  return text.slice(0, end)
}

/** `user[password]` and `user.password` speak of `password`. */
function lastName (name: string): string {
  if (!/[.[\]:>/]/.test(name)) return name
  const parts = name.split(/[.[\]:>/]+/).filter((part) => !/^[\d_-]*$/.test(part))
  return parts.at(-1) ?? name
}

/** `{ "name": "password", "value": "x" }`: names under which a name stands. */
export function isNameKey (name: string): boolean {
  return /^(?:name|key|field|param|parameter|header|property|variable|attribute|field_?name|label|id)$/i.test(name)
}

/** The names under which the value of such a name stands. */
export function isValueKey (name: string): boolean {
  return /^(?:val|values?|new_?value|default_?value|string_?value|raw_?value)$/i.test(name)
}
