import t from 'tap'
import { parse } from 'graphql'
import { costOf, usedPoints } from '../../../src/schema/armor-cost.ts'
import { rooms } from '../../../src/rooms.ts'
import { buildNekoSchema } from '../../../src/schema/build-schema.ts'

const schema = buildNekoSchema(rooms)
const cost = (source: string, variables: Record<string, unknown> = {}): number => costOf(schema, parse(source), variables)

t.test('one point for each object that could come back', (t) => {
  t.equal(cost('{ health { status } }'), 1)
  t.equal(cost('{ threatActors(first: 7) { nodes { id name } } }'), 8)
  t.equal(cost('{ threatActors(first: 7) { edges { cursor node { id } } } }'), 15)
  t.equal(cost('{ threatActors { nodes { id } pageInfo { hasNextPage } } }'), 22)
  t.equal(cost('{ threatActors(first: 100) { nodes { techniques { id } } } }'), 601)
  t.equal(cost('{ __schema { types { name } } }'), 50)
  t.equal(cost('mutation { logout }'), 1)
  t.end()
})

t.test('sizes come from literals, variables and their defaults, and nonsense does not lower them', (t) => {
  const source = 'query ($n: Int = 50) { threatActors(first: $n) { nodes { id } } }'
  t.equal(cost(source), 51)
  t.equal(cost(source, { n: 3 }), 4)
  t.equal(cost(source, { n: -3 }), 21)
  t.equal(cost('{ threatActors(first: 0) { nodes { id } } }'), 21)
  t.end()
})

t.test('fragments cost where they are spread, with the page of whoever spreads them', (t) => {
  const page = 'fragment P on ThreatActorConnection { nodes { ...A } } fragment A on ThreatActor { id }'
  t.equal(cost(`{ threatActors(first: 10) { ...P } } ${page}`), 11)
  t.equal(cost(`{ a: threatActors(first: 10) { ...P } b: threatActors(first: 90) { ...P ...P } } ${page}`), 11 + 181)
  t.equal(cost('{ ... on Query { threatActors(first: 10) { ... on ThreatActorConnection { nodes { id } } } } }'), 11)
  t.end()
})

t.test('a list that goes in comes out', (t) => {
  t.equal(cost('mutation ($r: [AssessRequest!]!) { assess(requests: $r) { id } }', { r: new Array(30).fill({}) }), 30)
  t.equal(cost('mutation { assess(requests: [{ method: "GET", url: "/" }, { method: "GET", url: "/" }]) { id factors { name } } }'), 12)
  t.end()
})

t.test('what came back is counted by the same rule, at most what was charged', (t) => {
  t.equal(usedPoints({ threatActors: { nodes: [{ id: 1 }, { id: 2 }], pageInfo: { hasNextPage: false } } }, 22), 4)
  t.equal(usedPoints({ threatActors: { edges: [{ cursor: 'a', node: { id: 1 } }] } }, 15), 3)
  t.equal(usedPoints({ logout: true }, 1), 1)
  t.equal(usedPoints({ threatActor: null }, 1), 1)
  t.equal(usedPoints({ assess: [{ id: 1, factors: [{ name: 'a' }, { name: 'b' }] }] }, 12), 3)
  t.equal(usedPoints({ many: new Array(1000).fill({ id: 1 }) }, 50), 50, 'never more than was charged')
  t.equal(usedPoints(null, 5), 1)
  t.end()
})
