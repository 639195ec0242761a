import t from 'tap'
import { createPasswords, HASHES_AT_ONCE, HASHES_WAITING_MAX } from '../../src/identity/passwords.ts'
import { codeOf } from './room.ts'

t.test('a password is verified by its hash, in any normal form, and by no other', async (t) => {
  const passwords = createPasswords()
  const stored = await passwords.hash('Grüße aus Nürnberg')
  t.match(stored, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22}\$[^$]{43}$/)
  t.same(await passwords.verify('Grüße aus Nürnberg'.normalize('NFD'), stored), { held: true, outdated: false })
  t.match(await passwords.verify('grüße aus Nürnberg', stored), { held: false })
  t.match(await passwords.verify('', null), { held: false })
  for (const broken of ['', 'x', '$argon2id$v=19$m=9999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$' + 'A'.repeat(43), '$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$' + 'A'.repeat(43)]) {
    t.match(await passwords.verify('x', broken), { held: false }, 'a hash that is none holds for nobody')
  }
})

t.test('two hashes run, 32 wait, and more are told to come back', async (t) => {
  const passwords = createPasswords()
  const room = HASHES_AT_ONCE + HASHES_WAITING_MAX
  let most = 0
  const all = Array.from({ length: room + 5 }, () => codeOf(passwords.verify('x', null).then(() => { most = Math.max(most, passwords.load().running) })))
  t.same(passwords.load(), { running: HASHES_AT_ONCE, waiting: HASHES_WAITING_MAX })
  const codes = await Promise.all(all)
  t.equal(codes.filter((code) => code === 'none').length, room)
  t.equal(codes.filter((code) => code === 'NEKO_ERR_OVERLOADED').length, 5)
  t.ok(most <= HASHES_AT_ONCE)
  t.same(passwords.load(), { running: 0, waiting: 0 })
})
