import {
  getNullableType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  getNamedType,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLSchema
} from 'graphql'
import { Agent, request } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Transaction } from '../../src/transaction/transaction.ts'
import type { Teardown } from '../server.ts'
import { replace } from './app.ts'

/** Requests with text in every place that the schema and HTTP have, for test/transaction/own-data.test.ts. */
export interface Operation { query: string, variables: Record<string, unknown> }
/** Where a text may be written: one argument of a root field, or a field of its input objects. */
export interface Place { name: string, operation: (style: Style, text: string) => Operation }
export const STYLES = ['literal', 'block string', 'variable', 'default'] as const
export type Style = typeof STYLES[number]

/** Every argument of every root field in which a text may stand. */
export function placesOf (schema: GraphQLSchema): Place[] {
  return [schema.getQueryType()!, schema.getMutationType()!].flatMap((root) =>
    Object.values(root.getFields()).flatMap((field) => field.args.flatMap((arg) =>
      pathsOf(arg.type, []).map((path) => ({
        name: `${root.name}.${field.name}(${[arg.name, ...path].join('.')})`,
        operation: (style: Style, text: string) =>
          operationOf({ root: root.name.toLowerCase(), field, arg, path }, style, text)
      })))))
}

/** Where texts stand in an argument of a type, as keys of its input objects; lists hold one. */
function pathsOf (given: GraphQLInputType, seen: readonly string[]): string[][] {
  const type = getNullableType(given)
  if (isListType(type)) return pathsOf(type.ofType, seen)
  if (!isInputObjectType(type)) {
    return isLeafType(type) && ['String', 'ID', 'DateTime'].includes(type.name) ? [[]] : []
  }
  return Object.values(type.getFields()).flatMap((field) => seen.includes(field.name)
    ? []
    : pathsOf(field.type, [...seen, field.name]).map((path) => [field.name, ...path]))
}

interface Asked { root: string, field: GraphQLField<unknown, unknown>, arg: GraphQLArgument, path: string[] }

function operationOf ({ root, field, arg, path }: Asked, style: Style, text: string): Operation {
  const value = valueOf(arg, path, text)
  const isVariable = style === 'variable' || style === 'default'
  const others = field.args.filter((one) => one !== arg && isNonNullType(one.type) && one.defaultValue === undefined)
    .map((one) => `${one.name}: ${literalOf(one.type, valueOf(one, null, ''), style)}`)
  const given = isVariable ? '$value' : literalOf(arg.type, value, style)
  const selection = isLeafType(getNamedType(field.type)) ? '' : ' { __typename }'
  const type = style === 'default' ? String(getNullableType(arg.type)) : String(arg.type)
  const definition = style === 'default' ? `($value: ${type} = ${literalOf(arg.type, value, style)})` : `($value: ${type})`
  return {
    query: `${root} Ask${isVariable ? definition : ''} { ${field.name}(${[`${arg.name}: ${given}`, ...others].join(', ')})${selection} }`,
    variables: style === 'variable' ? { value } : {}
  }
}

/** A value of the type, ordinary but for the text at the path. */
function valueOf ({ type: given, name }: GraphQLArgument | GraphQLInputField, path: string[] | null, text: string): unknown {
  const build = (type: GraphQLInputType): unknown => {
    const nullable = getNullableType(type)
    if (isListType(nullable)) return [build(nullable.ofType)]
    if (isInputObjectType(nullable)) {
      const fields = Object.values(nullable.getFields()).filter((field) =>
        field.name === path?.[0] || (isNonNullType(field.type) && field.defaultValue === undefined))
      return Object.fromEntries(fields.map((field) =>
        [field.name, valueOf(field, field.name === path?.[0] ? path.slice(1) : null, text)]))
    }
    if (path?.length === 0) return text
    if ('getValues' in nullable) return nullable.getValues()[0]!.name
    if (nullable.name === 'Int' || nullable.name === 'Float') return 1
    if (nullable.name === 'Boolean') return true
    return ORDINARY[name] ?? 'ordinary'
  }
  return build(given)
}

const ORDINARY: Record<string, string> = { url: '/', method: 'GET' }

function literalOf (given: GraphQLInputType, value: unknown, style: Style): string {
  const type = getNullableType(given)
  if (isListType(type)) return `[${(value as unknown[]).map((one) => literalOf(type.ofType, one, style)).join(', ')}]`
  if (isInputObjectType(type)) {
    const fields = Object.entries(value as object).map(([key, one]) =>
      `${key}: ${literalOf(type.getFields()[key]!.type, one, style)}`)
    return `{${fields.join(', ')}}`
  }
  if (isLeafType(type) && 'getValues' in type) return String(value)
  return style === 'block string' && typeof value === 'string' && !value.includes('"')
    ? `"""${value}"""`
    : JSON.stringify(value)
}

/** One POST, raw: what its answer and its transaction came to. */
export interface Sent { status: number, action: string, score: number, body: string, transaction: Transaction }
export interface Raw { path?: string, method?: string, headers?: Record<string, string | string[]>, body?: string }

export function openRaw (t: Teardown, { app, port }: { app: FastifyInstance, port: number }): (raw: Raw) => Promise<Sent> {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const settled = watchSettled(t, app)
  return async ({ path = '/graphql', method = 'POST', headers = {}, body }) => {
    const sent = await new Promise<Omit<Sent, 'transaction'> & { id: string }>((resolve, reject) => {
      const type = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const asked = request({ agent, host: '127.0.0.1', port, method, path, headers: { ...AGENT, ...type, ...headers } })
      asked.once('error', reject).once('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).once('end', () => resolve({
          id: String(response.headers['x-neko-assessment']),
          status: response.statusCode!,
          action: String(response.headers['x-neko-action']),
          score: Number(response.headers['x-neko-score']),
          body: text
        }))
      })
      asked.end(body)
    })
    return { ...sent, transaction: await settled(sent.id) }
  }
}

const AGENT = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  accept: '*/*',
  'accept-language': 'en-GB,en;q=0.5'
}

/** The transaction of an id, once it is settled: over HTTP that is after its answer has left. */
export function watchSettled (t: Teardown, { walk }: FastifyInstance): (id: string) => Promise<Transaction> {
  const settled = new Map<string, Transaction>()
  const waiting = new Map<string, (transaction: Transaction) => void>()
  const settle = walk.settle
  replace(t, walk, 'settle', (transaction, outcome) => {
    settle(transaction, outcome)
    settled.set(transaction.id, transaction)
    waiting.get(transaction.id)?.(transaction)
  })
  return async (id) => settled.get(id) ?? await new Promise((resolve) => { waiting.set(id, resolve) })
}
