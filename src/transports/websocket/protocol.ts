import { GraphQLError, parse, type ExecutionArgs, type ExecutionResult, type GraphQLSchema } from 'graphql'
import { makeServer, type Context, type Server, type SubscribeMessage } from 'graphql-ws'
import type { ErrorOrigin } from '../../schema/errors.ts'
import type { BegunOperation } from './begun-operations.ts'
import { SOCKET } from './bounds.ts'
import type { Caller, Operation, RunOperation, SubscribePayload } from './operations.ts'

/**
 * graphql-transport-ws by graphql-ws: it reads messages, keeps the ids of operations and knows the close codes. Our
 * bounds and re-checks are its hooks, and the operation runs in `onSubscribe`, so that errors before execution travel
 * as `error` and not as a result.
 *
 * Its own parser, validation and executor see no document of a client: they would know neither the walk nor the armor.
 */
export interface Peer {
  /** Takes the message that is being read; it belongs to the operation that is about to begin. */
  readonly message: string
  /** Checks the payload of a connection_init. False when the connection was, or must be, closed. */
  admit (payload: Readonly<Record<string, unknown>>): Promise<boolean>
  /** The holder of the connection, at this moment. */
  caller (): Caller
  /** The operation that is being read. */
  operation (id: string): BegunOperation
  /** The peer broke the protocol. */
  refuse (): void
}

type PeerContext = Context<Record<string, unknown>, Peer>
type Executed = Exclude<Operation, { kind: 'errors' }>

/** Stand for the client's document, which ran already: the library asks them for the kind of operation. */
const QUERY = parse('query { __typename }')
const SUBSCRIPTION = parse('subscription { __typename }')
const UNKNOWN_ORIGIN: ErrorOrigin = { assessmentId: null, requestId: null }
const REFUSED = [new GraphQLError('refused')]

interface ProtocolParts {
  schema: GraphQLSchema
  run: RunOperation
  /** An error inside a stream, for the client. */
  formatError (error: Error, origin: ErrorOrigin): { message: string }
}

export function createProtocol ({ schema, run, formatError }: ProtocolParts): Server<Peer> {
  /** Errors of operations that were refused, until the library asks how to send them. */
  const refusals = new WeakMap<readonly GraphQLError[], Extract<Operation, { kind: 'errors' }>['errors']>()

  async function begin (
    context: PeerContext,
    id: string,
    payload: SubscribeMessage['payload']
  ): Promise<ExecutionArgs | readonly GraphQLError[]> {
    const { extra: peer, extra: { message: text } } = context
    const asked = readPayload(payload)
    if (asked === null || id.length > SOCKET.operationIdCharacters) {
      peer.refuse()
      return REFUSED
    }
    const begun = peer.operation(id)
    const operation = await run({ asked, text, caller: peer.caller(), isOver: () => begun.isOver })
    if (operation.kind !== 'errors') {
      return { schema, document: operation.kind === 'stream' ? SUBSCRIPTION : QUERY, contextValue: operation }
    }
    const errors = operation.errors.map(({ message }) => new GraphQLError(message))
    refusals.set(errors, operation.errors)
    return errors
  }

  return makeServer<Record<string, unknown>, Peer>({
    // One timer looks at all sockets (open-sockets.ts): the library would start one for each.
    connectionInitWaitTimeout: 0,
    onConnect (context) {
      const payload = context.connectionParams ?? {}
      // The library would keep it as long as the socket lives: a megabyte of a stranger's, or a credential.
      delete (context as { connectionParams?: unknown }).connectionParams
      return context.extra.admit(payload)
    },
    onSubscribe: begin,
    execute: ({ contextValue }) => (contextValue as Extract<Executed, { kind: 'result' }>).result as ExecutionResult,
    subscribe: ({ contextValue }) => (contextValue as Extract<Executed, { kind: 'stream' }>).stream as never,
    onNext (_context, _id, _payload, { contextValue }, result) {
      const operation = contextValue as Executed
      if (operation.kind === 'result') return result
      const { data, errors } = result
      return {
        ...(errors === undefined ? {} : { errors: errors.map((one) => formatError(one, operation.origin)) }),
        ...(data === undefined ? {} : { data })
      } as ExecutionResult
    },
    onError: (_context, _id, _payload, errors) =>
      (refusals.get(errors) ?? errors.map((one) => formatError(one, UNKNOWN_ORIGIN))) as readonly GraphQLError[]
  })
}

/** An empty document, or an AST in place of the text, is no query. */
function readPayload (
  { query, variables, operationName, extensions }: SubscribeMessage['payload']
): SubscribePayload | null {
  if (typeof query !== 'string' || query === '') return null
  return {
    query,
    variables: variables ?? null,
    operationName: operationName === undefined || operationName === null || operationName === '' ? null : operationName,
    extensions: extensions ?? null
  }
}
