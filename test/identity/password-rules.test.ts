import { dictionary } from '@zxcvbn-ts/language-common'
import fc from 'fast-check'
import t from 'tap'
import { freeCharacters, requireUsablePassword } from '../../src/identity/password-rules.ts'
import { threadMs } from '../bar.ts'
import { codeOf, held, openRoom } from './room.ts'

/** The rule that refuses a password, or 'none'. */
async function refusal (password: string, username = 'margarethe'): Promise<string> {
  try {
    await requireUsablePassword(password, username)
    return 'none'
  } catch (error) {
    const { code, message } = error as { code: string, message: string }
    if (code !== 'NEKO_ERR_INPUT_INVALID' || (password !== '' && message.includes(password))) throw error
    return /in use/.test(message) ? 'common' : /own name/.test(message) ? 'name' : /repeat/.test(message) ? 'pattern' : 'length'
  }
}

const common = dictionary['passwords-common']
const diceware = dictionary['diceware-common']
const RUNS = { numRuns: 300 }
const joined = (parts: fc.Arbitrary<string[]>, by: string[]): fc.Arbitrary<string> => fc.tuple(parts, fc.constantFrom(...by)).map(([words, separator]) => words.join(separator))
const capitals = (text: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.tuple(text, fc.nat(2)).map(([word, how]) => [word, word.toUpperCase(), word.slice(0, 1).toUpperCase() + word.slice(1)][how]!)
const repeatedTo = (unit: string, length: number): string => unit.repeat(Math.ceil(length / unit.length))

t.test('new passwords have 12 characters or more and 256 bytes or fewer', async (t) => {
  const long = Array.from({ length: 128 }, (_, i) => String.fromCodePoint(0xe0 + i * 7 % 31)).join('')
  t.equal(Buffer.byteLength(long), 256)
  for (const [password, rule] of [['elevenchars', 'length'], ['twelve chars', 'none'], [long, 'none'], ['', 'length']] as const) t.equal(await refusal(password), rule)
  t.equal(await codeOf(requireUsablePassword(`${long}x`, 'x')), 'NEKO_ERR_INPUT_INVALID')
})

t.test('examples of each rule, and their neighbours that are passwords', async (t) => {
  const examples: Array<[password: string, rule: string, username?: string]> = [
    ['password1234', 'common'], ['P@ssw0rd2024', 'common'], ['drowssap2024', 'common'], ['Password-Password', 'pattern'], ['Ticketmaster Ticketmaster', 'common'], ['09101984_1985', 'common'], ['iloveyou!2025', 'common'], ['2024!letmein!', 'common'],
    ['p-a-s-s-w-o-r-d-1', 'common'], ['Administrator', 'common'], ['qazwsxedcrfv', 'pattern'], ['changeme2024!', 'common'], ['m0nk3y-1999!', 'common'],
    ['aaaaaaaaaaaa', 'pattern'], ['abcdefghijkl', 'pattern'], ['123412341234', 'pattern'], ['qwertyuiop12', 'pattern'], ['LKJHGFDSA987', 'pattern'], ['aaabbbcccddd', 'pattern'],
    ['abababababab', 'pattern'], ['9876543210ab', 'pattern'], ['x7Kq2x7Kq2x7Kq2', 'pattern'], ['aaaa-bbbb-cccc', 'pattern'], ['\u{1F408}'.repeat(12), 'pattern'], ['🐈🐕🐈🐕🐈🐕🐈🐕🐈🐕🐈🐕', 'pattern'],
    ['margarethe12', 'name'], ['et3ragram!!!', 'name', 'margarete'], ['Marg4rethe-99', 'name'], ['zoe-zoe-zoe-zoe', 'name', 'zoe'], ['zoe.miller2024', 'name', 'zoe.miller'], ['millermiller', 'name', 'zoe.miller@example.com'],
    ['bobs long password', 'none', 'Bob'], ['seconds password', 'none', 'second'], ['planning a channel', 'none', 'ann'], ['a long enough password', 'none', 'admin'], ['correct horse battery staple', 'none'],
    ['correct-horse-battery', 'none'], ['k7#Vq9$wT2!m', 'none'], ['Grüße aus Nürnberg', 'none'], ['пароль у меня длинный', 'none'], ['deserted properties', 'none'], ['password of my heart', 'none']
  ]
  for (const [password, rule, username] of examples) t.equal(await refusal(password, username), rule, password)
})

t.test('a password in use is refused in whatever simple disguise', async (t) => {
  const word = fc.constantFrom(...common.filter((text) => text.length >= 6))
  const leet = (text: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.tuple(text, fc.boolean()).map(([w, does]) => does ? w.replace(/[oeas]/g, (c) => ({ o: '0', e: '3', a: '@', s: '$' })[c]!) : w)
  const tail = fc.constantFrom('', '1', '!', '123', '2024', '2025!', '!!', '-99', '_1985', '1234', ' 12')
  const disguised = fc.oneof(
    fc.tuple(leet(capitals(word)), tail, tail).filter(([, a, b]) => (a + b).length <= 6).map(([w, a, b]) => w + a + b),
    fc.tuple(tail, capitals(word)).map(([a, w]) => a + w),
    capitals(word).map((w) => [...w].reverse().join('')),
    fc.tuple(capitals(word.filter((w) => /^[a-z0-9]+$/.test(w))), fc.constantFrom('', '-', ' ')).map(([w, by]) => w + by + w),
    word.filter((w) => /^[a-z0-9]+$/.test(w)).map((w) => [...w].join('.'))
  ).filter((password) => [...password].length >= 12)
  await t.resolves(fc.assert(fc.asyncProperty(disguised, async (password) => await refusal(password) !== 'none'), RUNS))
})

t.test('repeated and sequential characters are refused, whatever their number', async (t) => {
  const rows = ['abcdefghijklmnopqrstuvwxyz', '01234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop']
  const character = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 })
  const piece = fc.tuple(fc.constantFrom(...rows), fc.nat(20), fc.integer({ min: 4, max: 12 }), fc.boolean()).map(([row, from, length, back]) => {
    const start = from % (row.length - 3)
    const part = row.slice(start, start + length)
    return back ? [...part].reverse().join('') : part
  })
  const bad = fc.oneof(
    fc.tuple(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 5 }), fc.integer({ min: 12, max: 60 })).map(([unit, length]) => repeatedTo(unit, length)),
    fc.array(fc.tuple(character, fc.integer({ min: 3, max: 9 })), { minLength: 3, maxLength: 7 }).map((parts) => parts.map(([c, times]) => c.repeat(times)).join('')),
    fc.tuple(fc.array(fc.constantFrom('a', '1', 'x', '!'), { minLength: 12, maxLength: 40 })).map(([all]) => all.join('')),
    capitals(fc.array(piece, { minLength: 2, maxLength: 5 }).map((parts) => parts.join('')))
  ).filter((password) => password.length >= 12)
  await t.resolves(fc.assert(fc.asyncProperty(bad, async (password) => await refusal(password) !== 'none'), RUNS))
})

t.test('the user\'s own name is refused, forwards, backwards, twice, with digits in it or after it', async (t) => {
  const name = fc.tuple(fc.constantFrom(...diceware.filter((word) => /^[a-z]{4,9}$/.test(word))), fc.constantFrom('', '.smith', '_ops', '@example.com', '7')).map(([a, b]) => a + b)
  const made = fc.tuple(name, fc.nat(5), fc.constantFrom('2024', '!', '123456', '19801980', '-1-2-3-4', '$$$$')).map(([username, how, tail]) => {
    const first = username.split(/[._@7]/)[0]!
    const written = [username, [...username].reverse().join(''), first + first, first.replace(/[oeai]/g, (c) => ({ o: '0', e: '3', a: '4', i: '1' })[c]!), first.toUpperCase(), tail + first][how]!
    return { username, password: repeatedTo(written + tail, 12) }
  })
  await t.resolves(fc.assert(fc.asyncProperty(made, async ({ username, password }) => await refusal(password, username) !== 'none'), RUNS))
})

t.test('passphrases and random passwords are taken', async (t) => {
  const words = joined(fc.array(fc.constantFrom(...diceware), { minLength: 4, maxLength: 7 }), [' ', '-', '.', '', '_'])
  const random = fc.array(fc.constantFrom(...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_!#'), { minLength: 16, maxLength: 40 }).map((all) => all.join(''))
  const username = fc.constantFrom('admin', 'ann', 'zoe.miller', 'ops', 'x', 'j.doe@example.com')
  // Four short words of which one is the name, or four times the same: what a generator may give too.
  const good = fc.tuple(fc.oneof(capitals(words), random), username).filter(([password]) => password.length >= 16 && freeCharacters(password.toLowerCase()) >= 14 && new Set(password).size >= 7)
  await t.resolves(fc.assert(fc.asyncProperty(good, async ([password, name]) => await refusal(password, name) === 'none'), { numRuns: 600 }))
})

t.test('the rules take time in proportion to the password, and any text at all', async (t) => {
  await t.resolves(fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 70 }), async (password, username) => {
    await requireUsablePassword(password, username).catch((error: { code?: string }) => { if (error.code !== 'NEKO_ERR_INPUT_INVALID') throw error })
  }), RUNS))
  const startMs = threadMs()
  for (const hostile of ['a'.repeat(256), 'ab'.repeat(128), '1'.repeat(255) + 'x', `${'a'.repeat(127)}b${'a'.repeat(128)}`, '!'.repeat(256)]) for (let i = 0; i < 100; i++) await refusal(hostile, 'aaa')
  t.ok(threadMs() - startMs < 2_000)
})

t.test('whoever sets a password is held to the rules, and the trail has none of it', async (t) => {
  const { identity, admin, audit } = await openRoom(t)
  const by = await admin()
  for (const password of ['aaaaaaaaaaaa', 'password1234', 'zoezoezoezoe1']) {
    t.equal(await codeOf(identity.createUser(by, { username: 'zoe', password, role: 'VIEWER' })), 'NEKO_ERR_INPUT_INVALID', password)
    t.equal(await codeOf(identity.changePassword(by, { currentPassword: 'a long enough password', newPassword: password.replaceAll('zoe', 'admin') })), 'NEKO_ERR_INPUT_INVALID', password)
  }
  t.equal(held(await identity.authenticateToken((await identity.login({ username: 'admin', password: 'a long enough password', address: '192.0.2.1' })).accessToken)).name, 'admin')
  t.notMatch(JSON.stringify(audit.events), /password1234|zoezoe/)
})
