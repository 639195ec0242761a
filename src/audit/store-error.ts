/** Something is wrong with the store, and not with the files. */
export function isStoreError (error: unknown): error is Error & { code: string, statusCode: number } {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && (code.startsWith('NEKO_ERR_STORE_') || code === 'NEKO_ERR_TIMEOUT')
}
