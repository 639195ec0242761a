import { anyOf, sequence } from '../std/regex.ts'

/** Which names carry secrets: of headers, parameters, cookies, fields and variables. Pure. */

// After folding: lower case, only letters and digits. `token` alone is one, `tokens_used` is not; `author` is
// not `auth`.
const SECRET = anyOf([
  /passw(?:or)?d|passphrase|passwort|passcode|^pass$|^pwd$|pwd$/,
  /secret|credential|authorization|^auth$|authtoken/,
  /apikey|accesskey|privatekey|signingkey|sessionkey|encryptionkey|accountkey|^key$/,
  /token$|^jwt$|jwt$|^bearer$|assertion$|clientassertion|samlresponse/,
  /^otp$|otpcode|totp|^pin$|pincode|^cvv$|^cvc$|cardnumber|^ssn$/,
  /^sid$|sessionid|sessid|^session$|cookie/,
  /signature$|^sig$|^nonce$|mnemonic|recoverycode|^code$/
])
const HEADERS = sequence([
  /^/,
  [
    /proxyauthorization|xapikey|xauth\w*|xcsrf\w*|xxsrf\w*/,
    /xamzsecuritytoken|xgoogapikey|xvaulttoken|xgitlabtoken|xhubsignature\w*/
  ],
  /$/
])

/** Of the shortest, as `pin`. A hostile text is made of thousands of names, and most are shorter. */
const NAME_LENGTH_MIN = 3

/**
 * True when the value under this name must not be kept. Any spelling: `API-Key`, `api_key`, `apiKey`,
 * `user[password]`.
 */
export function isSecretName (name: string): boolean {
  if (name.length > 256) return true
  if (name.length < NAME_LENGTH_MIN) return false
  const last = lastName(name)
  const folded = last.toLowerCase().replace(/[^a-z0-9]+/g, '')
  if (folded.length < NAME_LENGTH_MIN) return false
  return SECRET.test(folded) || HEADERS.test(folded)
}

/** `user[password]` and `user.password` speak of `password`. */
function lastName (name: string): string {
  if (!/[.[\]]/.test(name)) return name
  const parts = name.split(/[.[\]]+/).filter((part) => part !== '' && !/^\d+$/.test(part))
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
