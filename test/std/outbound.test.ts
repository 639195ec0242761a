import type { LookupAddress } from 'node:dns'
import t from 'tap'
import { isPrivateAddress, isPrivateHost, publicLookup } from '../../src/std/outbound.ts'
import type { PublicLookupOptions } from '../../src/std/outbound.ts'

const refused = (): Error => new Error('refused')

/** What a socket would be told for a name. */
function look (options: Omit<PublicLookupOptions, 'refused'>, hostname: string, { all = true } = {}): Promise<LookupAddress[]> {
  const lookup = publicLookup({ refused, ...options })
  return new Promise((resolve, reject) => {
    lookup(hostname, { all }, (error, found, family) => {
      if (error !== null) reject(error)
      else resolve(typeof found === 'string' ? [{ address: found, family: family! }] : found)
    })
  })
}

const resolveTo = (...addresses: string[]) => async (): Promise<string[]> => addresses

t.test('addresses of the public internet may be called', (t) => {
  for (const address of [
    '8.8.8.8', '1.0.0.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255',
    '198.17.255.255', '198.20.0.0', '223.255.255.255', '2606:4700::1111', '2a00:1450:4001:81b::200e', '2001:4860:4860::8888', '3ffe:1::1', '::ffff:8.8.8.8'
  ]) t.notOk(isPrivateAddress(address), address)
  t.end()
})

t.test('addresses of hosts, sites, links, machines and documents may not, nor text that is none', (t) => {
  for (const address of [
    '0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.2.1',
    '192.168.0.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255',
    '::', '::1', 'fc00::1', 'fd12:3456::1', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1', '100::1', '2001:db8::1', '2001:10::1', '3fff::1', '5f00::1', '4000::1',
    'localhost', 'example.com', '', '1.2.3', '0x7f000001', '127.1'
  ]) t.ok(isPrivateAddress(address), address)
  t.end()
})

t.test('an IPv4 address in an IPv6 coat is what it carries, and NAT64 and its kin carry nobody', (t) => {
  for (const address of [
    '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:FFFF:10.0.0.1', '::ffff:a9fe:a9fe', '::127.0.0.1', '::ffff:0:127.0.0.1',
    '64:ff9b::7f00:1', '64:ff9b::10.0.0.1', '64:ff9b:1::a00:1', '2002:7f00:1::', '2001:0:7f00:1::'
  ]) t.ok(isPrivateAddress(address), address)
  t.end()
})

t.test('a private literal in a URL is seen in every spelling that URLs fold', (t) => {
  for (const url of [
    'http://127.0.0.1/', 'http://2130706433/', 'http://0x7f.1/', 'http://0177.0.0.1/', 'http://127.0.0.1./', 'http://[::1]:8080/', 'http://[::ffff:127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/', 'http://169.254.169.254/latest/meta-data', 'http://１２７.0.0.1/'
  ]) t.ok(isPrivateHost(new URL(url)), url)
  // A name is judged by the lookup, when its answer is known.
  for (const url of ['http://localhost/', 'http://example.com/', 'http://8.8.8.8/', 'http://[2606:4700::1111]/']) t.notOk(isPrivateHost(new URL(url)), url)
  t.end()
})

t.test('a name leads to all of its public addresses, or to the first', async (t) => {
  const resolve = resolveTo('8.8.8.8', '2606:4700::1111')
  t.same(await look({ resolve }, 'example.com'), [{ address: '8.8.8.8', family: 4 }, { address: '2606:4700::1111', family: 6 }])
  t.same(await look({ resolve }, 'example.com', { all: false }), [{ address: '8.8.8.8', family: 4 }])
})

t.test('one private address among several spoils a name, in any form and place', async (t) => {
  for (const address of ['127.0.0.1', '10.0.0.1', '::1', '::ffff:10.0.0.1', '64:ff9b::a00:1', 'fe80::1']) {
    await t.rejects(look({ resolve: resolveTo('8.8.8.8', address) }, 'example.com'), { message: 'refused' }, address)
    await t.rejects(look({ resolve: resolveTo(address) }, 'example.com', { all: false }), { message: 'refused' }, address)
  }
})

t.test('a name that changes its answer is judged by the answer that is called', async (t) => {
  const answers = [['8.8.8.8'], ['127.0.0.1'], ['8.8.4.4']]
  const resolve = async (): Promise<string[]> => answers.shift()!
  t.same(await look({ resolve }, 'rebinding.example'), [{ address: '8.8.8.8', family: 4 }])
  await t.rejects(look({ resolve }, 'rebinding.example'), { message: 'refused' })
  t.same(await look({ resolve }, 'rebinding.example'), [{ address: '8.8.4.4', family: 4 }])
})

t.test('a name with no address leads nowhere, also when it may lead anywhere', async (t) => {
  await t.rejects(look({ resolve: resolveTo() }, 'empty.example'), { message: 'refused' })
  await t.rejects(look({ resolve: resolveTo(), allows: () => true }, 'empty.example', { all: false }), { message: 'refused' })
})

t.test('a name that an operator allowed may lead to this machine, and no other may', async (t) => {
  const allows = (hostname: string): boolean => hostname === 'localhost'
  const resolve = resolveTo('127.0.0.1', '::1')
  t.same(await look({ resolve, allows }, 'localhost'), [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }])
  await t.rejects(look({ resolve, allows }, 'localhost.attacker.example'), { message: 'refused' })
  await t.rejects(look({ resolve }, 'localhost'), { message: 'refused' }, 'without an allowance')
})

t.test("the system's own resolver knows localhost, and it is refused", async (t) => {
  await t.rejects(look({}, 'localhost'), { message: 'refused' })
  const [first] = await look({ allows: () => true }, 'localhost')
  t.ok(first!.address === '127.0.0.1' || first!.address === '::1')
})

t.test('a resolver that fails is told as it failed, once', async (t) => {
  const failure = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
  let calls = 0
  const lookup = publicLookup({ refused, resolve: async () => { throw failure } })
  await new Promise<void>((resolve) => lookup('nowhere.example', { all: true }, (error) => {
    calls++
    t.equal(error, failure)
    resolve()
  }))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(calls, 1)
})
