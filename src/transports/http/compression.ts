import compress from '@fastify/compress'
import fp from 'fastify-plugin'
import { constants } from 'node:zlib'

declare module 'fastify' {
  interface FastifyInstance {
    /** For an answer that carries a token or a key: it is neither compressed (BREACH) nor kept by any cache. */
    keepUncompressed (request: FastifyRequest, reply: FastifyReply): void
  }
}

/** Answers are compressed from 1 KiB on, but for those that carry a secret; requests are never unpacked. */
export default fp(async (app) => {
  app.decorate('keepUncompressed', (request, reply) => {
    request.headers['x-no-compression'] = '1'
    reply.header('cache-control', 'no-store')
  })
  await app.register(compress, {
    global: true,
    threshold: 1024,
    encodings: ['br', 'zstd', 'gzip'],
    requestEncodings: ['identity'],
    globalDecompression: false,
    zlibOptions: { level: 6 },
    brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 6 } }
  })
}, { name: 'compression' })
