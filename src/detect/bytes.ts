/** The same bytes as a Buffer, without a copy: a body that came to a thread is a bare Uint8Array. */
export function asBuffer (bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
