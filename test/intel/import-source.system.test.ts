import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isUrl, openFile, openUrl, openSource, plainBytes, sourceLabel, FETCH_OPTIONS } from '../../src/intel/import-source.ts'
import { isPrivateAddress } from '../../src/std/outbound.ts'

const local = { ...FETCH_OPTIONS, timeoutMs: 5000, allowPrivate: true }

async function collect (chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts).toString()
}

async function serve (t: { teardown: (end: () => unknown) => void }, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('a file is read, and one that is not there says so', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'neko-intel-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'a.json'), '{"a":1}')
  t.equal(await collect(openFile(join(folder, 'a.json'))), '{"a":1}')
  await t.rejects(collect(openFile(join(folder, 'none'))), { code: 'NEKO_ERR_INPUT_INVALID', message: 'The file cannot be read (ENOENT)' })
  t.equal(await collect(openSource(join(folder, 'a.json'))), '{"a":1}')
  await t.rejects(collect(openSource('ftp://example.org/a')), { code: 'NEKO_ERR_INPUT_INVALID', message: /must be https/ })
  t.equal(sourceLabel('/home/me/a.json'), 'a.json')
  t.equal(sourceLabel('https://' + 'u:p@' + 'example.org/a?token=x'), 'https://example.org/a')
  t.equal(sourceLabel('https://'), 'an address')
  t.ok(isUrl('https://example.org/a'))
  t.notOk(isUrl('c:/a.json'))
})

t.test('an address is fetched over its redirects, up to a bound', async (t) => {
  const base = await serve(t, (request, response) => {
    const hops = Number(/^\/hop\/(\d+)$/.exec(request.url!)?.[1] ?? 0)
    if (hops === 0) response.end('here')
    else response.writeHead(302, { location: `/hop/${hops - 1}` }).end()
  })
  t.equal(await collect(openUrl(`${base}/hop/3`, local)), 'here')
  await t.rejects(collect(openUrl(`${base}/hop/4`, local)), { code: 'NEKO_ERR_INPUT_INVALID', message: /redirects more than 3/ })
})

t.test('odd answers are refused by what they are', async (t) => {
  const base = await serve(t, (request, response) => {
    if (request.url === '/none') response.writeHead(404).end()
    else if (request.url === '/nowhere') response.writeHead(302).end()
    else if (request.url === '/away') response.writeHead(302, { location: 'file:///etc/passwd' }).end()
    else if (request.url === '/cut') { response.writeHead(200, { 'content-length': '100' }); response.write('x'); setImmediate(() => response.destroy()) } else response.write('slow')
  })
  const refused = (path: string, code: string, message: RegExp): Promise<unknown> => t.rejects(collect(openUrl(base + path, { ...local, timeoutMs: path === '/slow' ? 200 : 5000 })), { code, message })
  await refused('/none', 'NEKO_ERR_INPUT_INVALID', /answered 404/)
  await refused('/nowhere', 'NEKO_ERR_INPUT_INVALID', /answered 302/)
  await refused('/away', 'NEKO_ERR_INPUT_INVALID', /must be https/)
  await refused('/cut', 'NEKO_ERR_INPUT_INVALID', /cannot be fetched/)
  await refused('/slow', 'NEKO_ERR_TIMEOUT', /too long/)
})

t.test('private, local and reserved addresses are never called', async (t) => {
  let calls = 0
  const base = await serve(t, (_request, response) => { calls++; response.end('{}') })
  const { port } = new URL(base)
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '0x7f.1', '2130706433', '[::ffff:127.0.0.1]', '10.0.0.1', '169.254.169.254', '[fd00::1]']) {
    await t.rejects(collect(openUrl(`https://${host}:${port}/`)), { code: 'NEKO_ERR_INPUT_INVALID', message: /private/ }, host)
  }
  await t.rejects(collect(openUrl(base)), { code: 'NEKO_ERR_INPUT_INVALID', message: /must be https/ })
  await t.rejects(collect(openUrl('https://' + 'u:p@' + 'example.org/')), { code: 'NEKO_ERR_INPUT_INVALID', message: /credentials/ })
  await t.rejects(collect(openUrl('https://')), { code: 'NEKO_ERR_INPUT_INVALID' })
  t.equal(calls, 0)
  for (const address of ['8.8.8.8', '2606:4700::1111']) t.notOk(isPrivateAddress(address), address)
  for (const address of ['100.64.0.1', '172.31.255.255', '192.168.1.1', '224.0.0.1', '255.255.255.255', 'fe80::1', 'febf::1', 'fec0::1', '64:ff9b::a00:1', '2002:a00:1::', '::', 'x']) t.ok(isPrivateAddress(address), address)
})

t.test('a source that is let go in the middle is closed', async (t) => {
  let closed = false
  async function * endless (): AsyncGenerator<Uint8Array> {
    try { for (;;) yield Buffer.from('x'.repeat(100)) } finally { closed = true }
  }
  const chunks = plainBytes(endless())
  t.equal((await chunks.next()).value!.length, 100)
  await chunks.return(undefined)
  t.ok(closed)
})

t.test('the audit learns where an import came from, and no secret of its address', async (t) => {
  const secret = 'hUnter7Zq9x'
  const urls = [`https:${'//'}bob:${secret}@h.example/feed.json`, `https://${secret}@h.example/feed.json`, `https://h.example/feed.json?key=${secret}`, `https://h.example/${secret}/feed.json`, `https://h.example/a/${secret}`, `https://h.example/feed.json#${secret}`, `https://h.example/nekr_se_${secret}/feed.json`]
  for (const url of urls) t.notOk(sourceLabel(url).includes(secret), sourceLabel(url))
  for (const url of ['https://h.example/enterprise-attack/enterprise-attack-15.1.json', 'https://h.example/v2/feeds/2026-11-30/all.json']) t.equal(sourceLabel(url), url)
})
