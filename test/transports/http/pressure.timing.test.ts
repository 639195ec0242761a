import Fastify from 'fastify'
import t from 'tap'
import pressure from '../../../src/transports/http/pressure.ts'

const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms))
function hold (ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

t.test('a loop that was held once is not too busy; one that stays held is, and recovers', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(pressure)
  await app.ready()
  t.equal(app.isOverloaded(), false)
  hold(1500)
  for (let i = 0; i < 5; i++) {
    await wait(300)
    t.equal(app.isOverloaded(), false, 'a start that loaded its code is over')
  }
  for (let i = 0; i < 4 && !app.isOverloaded(); i++) {
    hold(1200)
    await wait(1)
  }
  t.equal(app.isOverloaded(), true)
  for (let i = 0; i < 40 && app.isOverloaded(); i++) await wait(100)
  t.equal(app.isOverloaded(), false)
})
