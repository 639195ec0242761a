import type { FastifyInstance } from 'fastify'
import {
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  subscribe,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError
} from 'graphql'
import { NEKO_ERR_BODY_INVALID, NEKO_ERR_INPUT_INVALID, NEKO_ERR_KEY_FORBIDDEN } from '../../errors.ts'
import type { Principal } from '../../identity/shapes.ts'
import { ARMOR, refuseDocument, refuseJsonSource } from '../../schema/armor.ts'
import type { DeviceCookie, OperationContext } from '../../schema/context.ts'
import { statusOfErrors, type ErrorOrigin } from '../../schema/errors.ts'
import { faultOfKeys, JSON_DEPTH_MAX, type KeyFault } from '../../std/keys.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import { decoyAnswer, touchesDecoy } from '../../transaction/graphql-decoys.ts'
import type { Refusal } from '../../transaction/refusal.ts'
import { NO_ROUTE, type Route, type Transaction, type UnnamedProxy } from '../../transaction/transaction.ts'

/**
 * One operation of a WebSocket from its text to its results: it takes the walk of a POST to /graphql, is armored and
 * validated like a document over HTTP, charged like one, then executed. Never does: know frames or close codes.
 *
 * Queries and mutations run through mercurius with all its hooks. Subscriptions run by graphql-js: mercurius' own path
 * for them neither validates nor bounds a document.
 */
export interface Caller {
  /** Canonical. */
  readonly address: string
  /** False where NEVER_BLOCK does not look at the address. */
  readonly neverBlockApplies: boolean
  readonly unnamedProxy: UnnamedProxy | null
  /** Of the upgrade request, without what belongs to the handshake alone. */
  readonly headers: readonly string[]
  readonly requestId: string
  readonly principal: Principal | null
}

export interface SubscribePayload {
  query: string
  variables: Record<string, unknown> | null
  operationName: string | null
  extensions: Record<string, unknown> | null
}

type Stream = AsyncGenerator<ExecutionResult, void, void>
/** The end of an operation: errors before anything was executed, one result, or events. */
export type Operation =
  | { kind: 'errors', errors: readonly GraphQLFormattedError[] }
  | { kind: 'result', result: FormattedExecutionResult }
  | { kind: 'stream', stream: Stream, origin: ErrorOrigin }

/** One operation that a client began. */
interface Begun {
  readonly asked: SubscribePayload
  /** The message as it came. */
  readonly text: string
  readonly caller: Caller
  /** The client completed it, or has gone: nothing is executed for it any more. */
  isOver (): boolean
}

/** Never rejects. */
export type RunOperation = (begun: Begun) => Promise<Operation>

const ROUTE: Route = Object.freeze({ ...NO_ROUTE, pattern: '/graphql', isGraphql: true })
const ERRORS_MAX = 3

export function createOperations (app: FastifyInstance): RunOperation {
  const { walk } = app
  const execute = createExecutor(app)

  /** The operation takes the walk first; whatever it comes to leaves a receipt. */
  return async function run ({ asked, text, caller, isOver }) {
    const fault = faultOfKeys({ variables: asked.variables, extensions: asked.extensions })
    // As a body of POST /graphql; a message too deep to be written again is inspected as it came.
    const bytes = Buffer.from(fault?.kind === 'deep' ? text : JSON.stringify(asked))
    const transaction = begin(caller, bytes)
    const origin = { assessmentId: transaction.id, requestId: caller.requestId }
    const { status, ...rest } = await attempt(origin, async () => {
      const refusal = await walk.admit(transaction) ?? await walk.inspect(transaction, { bytes, end: 'whole' })
      return refusal === null
        ? await answer(transaction, { asked, caller, fault, isOver })
        : { status: refusal.status, ...refusedWith(refusal, transaction.id) }
    })
    const logLine = { requestId: caller.requestId, method: 'WS', route: '/graphql', status, ms: null }
    walk.settle(transaction, { status, logLine })
    return rest
  }

  function begin (caller: Caller, bytes: Buffer): Transaction {
    const { address, neverBlockApplies, unnamedProxy, headers, principal } = caller
    return walk.begin({
      door: 'websocket',
      authority: 'caller',
      acts: true,
      address,
      neverBlockApplies,
      unnamedProxy,
      method: 'POST',
      target: '/graphql',
      headers: [...headers, 'content-type', 'application/json', 'content-length', String(bytes.length)],
      route: ROUTE,
      shown: null,
      submitter: null,
      holder: principal
    })
  }

  async function answer (
    transaction: Transaction,
    { asked, caller, fault, isOver }: Omit<Begun, 'text'> & { fault: KeyFault }
  ): Promise<Operation & { status: number }> {
    const bait = decoyAnswer(asked.query)
    if (transaction.score !== null && (bait !== null || touchesDecoy(asked.query))) transaction.score.decoy = true
    if (bait !== null) return { kind: 'result', result: { data: bait }, status: 200 }
    const context = contextOf(app, { caller, transaction, asked, isOver })
    refuseKeys(fault, context)
    return await execute(asked, context, isOver)
  }

  /** An error, of the document or of ours, ends its operation and no other. */
  async function attempt (
    origin: ErrorOrigin,
    work: () => Promise<Operation & { status: number }>
  ): Promise<Operation & { status: number }> {
    try {
      return await work()
    } catch (error) {
      const errors = (error as { errors?: GraphQLError[] }).errors ?? [error as Error]
      const shown = errors.map((one) => app.graphqlEdge.formatError(one, origin))
      return { kind: 'errors', errors: shown, status: statusOfErrors(errors, null) ?? 400 }
    }
  }
}

type Executor = (
  asked: SubscribePayload,
  context: OperationContext,
  isOver: () => boolean
) => Promise<Operation & { status: number }>

/** For a client that does not wait for it. */
const UNHEARD: Operation & { status: number } = { kind: 'result', result: { data: null }, status: 200 }

function createExecutor (app: FastifyInstance): Executor {
  const { schema } = app.graphqlEdge
  const rules = app.config.production ? [...specifiedRules, NoSchemaIntrospectionCustomRule] : specifiedRules

  /** @throws the errors for which the document, its cost or its guards refuse it */
  return async function execute (asked, context, isOver) {
    const { query, variables, operationName } = asked
    const document = readDocument(query, context)
    const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION)!
    if (operationName !== null && operation.name?.value !== operationName) {
      throw new NEKO_ERR_INPUT_INVALID('The document holds no operation of that name')
    }
    if (isOver()) return UNHEARD
    if (operation.operation === 'subscription') {
      const stream = await open(document, asked, context)
      const { assessmentId, requestId } = context
      return { kind: 'stream', stream, origin: { assessmentId, requestId }, status: 200 }
    }
    const ran = await app.graphql(query, context as never, variables ?? undefined, operationName ?? undefined)
    // mercurius formatted the errors.
    const errors = ran.errors as unknown as GraphQLFormattedError[] | undefined
    const result = { ...(errors === undefined ? {} : { errors }), data: ran.data }
    return { kind: 'result', result, status: context.errorStatus ?? 200 }
  }

  async function open (
    document: DocumentNode,
    { variables, operationName }: SubscribePayload,
    context: OperationContext
  ): Promise<Stream> {
    const faults = validate(schema, document, rules, { maxErrors: ERRORS_MAX })
    if (faults.length > 0) throw Object.assign(new Error('the document is not valid'), { errors: faults })
    const { principal, countedAs } = context
    context.cost = await app.chargeOperation({ principal, countedAs, document, variables })
    const asked = { schema, document, variableValues: variables, operationName }
    const result = await subscribe({ ...asked, contextValue: context })
    if (Symbol.asyncIterator in result) return result
    throw Object.assign(new Error('the subscription was refused'), { errors: result.errors ?? [] })
  }

  function readDocument (source: string, context: OperationContext): DocumentNode {
    refuseJsonSource(source)
    const document = parse(source, { maxTokens: ARMOR.tokens })
    try {
      refuseDocument(document)
    } catch (error) {
      if (error instanceof NEKO_ERR_KEY_FORBIDDEN) noteKey(context, 'document', 'prototype')
      throw error
    }
    return document
  }
}

/** A refusal of the walk, in the words of GraphQL. */
function refusedWith ({ code, message, retryAfterSeconds }: Refusal, assessment: string): Operation {
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
  return { kind: 'errors', errors: [{ message, extensions: { code, ...retry, assessment } }] }
}

function refuseKeys (fault: KeyFault, context: OperationContext): void {
  if (fault?.kind === 'deep') throw new NEKO_ERR_BODY_INVALID(`it is nested deeper than ${JSON_DEPTH_MAX} levels`)
  if (fault === null) return
  noteKey(context, 'body', fault.key)
  throw new NEKO_ERR_KEY_FORBIDDEN()
}

function noteKey (
  { app, client, assessmentId, score }: OperationContext,
  place: 'body' | 'document',
  key: string
): void {
  app.forbiddenKeySeen({ client, assessmentId, score, place, key, target: '/graphql' })
}

/** A socket's answers set no cookie; the upgrade's are not read, since pages of other sites can open one. */
const NO_DEVICE: DeviceCookie = { shown: () => null, keep () {} }

function contextOf (
  app: FastifyInstance,
  { caller, transaction, asked, isOver }: Pick<Begun, 'caller' | 'asked' | 'isOver'> & { transaction: Transaction }
): OperationContext {
  return {
    app,
    clock: app.clock,
    principal: transaction.principal,
    client: transaction.client,
    countedAs: countedAs(transaction),
    address: caller.address,
    requestId: caller.requestId,
    assessmentId: transaction.id,
    score: transaction.score,
    isGone: isOver,
    device: NO_DEVICE,
    // Nothing is kept or compressed here.
    readsFrom () {},
    mayBeOld () {},
    carriesSecret () {},
    method: 'WS',
    operationName: asked.operationName,
    errorStatus: null,
    cost: null,
    retryAfterSeconds: null,
    limited: null,
    onLoginFailed () { transaction.loginFailed = true },
    onAttemptLimited () { transaction.attemptLimited = true }
  }
}
