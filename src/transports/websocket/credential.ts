/**
 * The credential of a connection_init, as headers would carry it. Names in any case, and only these: nothing else that
 * the payload holds becomes a header.
 */
export function credentialOf (
  payload: Readonly<Record<string, unknown>>
): { authorization?: string, 'x-api-key'?: string } | 'malformed' {
  const shown: { authorization?: string, 'x-api-key'?: string } = {}
  for (const [given, value] of Object.entries(payload)) {
    const name = given.toLowerCase()
    if (name !== 'authorization' && name !== 'x-api-key' && name !== 'token') continue
    const header = name === 'x-api-key' ? name : 'authorization'
    if (typeof value !== 'string' || shown[header] !== undefined) return 'malformed'
    shown[header] = name === 'token' ? `Bearer ${value}` : value
  }
  return shown
}
