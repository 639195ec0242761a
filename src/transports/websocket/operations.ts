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
import {
  NEKO_ERR_BLOCKED,
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_KEY_FORBIDDEN,
  NEKO_ERR_LIMIT_EXCEEDED,
  NEKO_ERR_OVERLOADED
} from '../../errors.ts'
import { faultOfKeys, JSON_DEPTH_MAX, type KeyFault } from '../../std/keys.ts'
import { ARMOR, refuseDocument, refuseJsonSource } from '../graphql/armor.ts'
import { decoyAnswer } from '../../transaction/graphql-decoys.ts'
import { statusOfErrors } from '../graphql/errors.ts'
import type { OperationContext } from '../graphql/route.ts'
import type { Caller, Inspected, Inspection, Outcome } from './inspection.ts'
import type { SubscribePayload } from './messages.ts'

/**
 * One operation of a WebSocket from its text to its results: inspected like a request, armored and validated like a
 * document over HTTP, charged like one, then executed. Never does: know frames or close codes.
 *
 * Queries and mutations run through mercurius with all its hooks. Subscriptions run by graphql-js: mercurius' own path
 * for them neither validates nor bounds a document.
 */
export interface Sink {
  next (result: FormattedExecutionResult): void
  error (errors: readonly GraphQLFormattedError[]): void
  complete (): void
}

/** An operation under way; `end` stops it without another word to the client. */
export interface Operation { end (): void }

export type StartOperation = (asked: SubscribePayload, text: string, caller: Caller, sink: Sink) => Operation

interface Running { ended: boolean, stream: AsyncGenerator<ExecutionResult, void, void> | null }

const ERRORS_MAX = 3

export function createOperations (app: FastifyInstance, inspection: Inspection): StartOperation {
  const { schema, formatError } = app.graphqlEdge
  const rules = app.config.production ? [...specifiedRules, NoSchemaIntrospectionCustomRule] : specifiedRules

  /** What the client said is inspected first; whatever it comes to leaves a receipt. */
  async function run (
    asked: SubscribePayload,
    text: string,
    caller: Caller,
    { sink, running }: { sink: Sink, running: Running }
  ): Promise<void> {
    const bait = decoyAnswer(asked.query)
    const fault = faultOfKeys({ variables: asked.variables, extensions: asked.extensions })
    // As a body of POST /graphql; what is too deep to be written again is inspected as it came.
    const inspected = await inspection.inspect(
      caller,
      fault?.kind === 'deep' ? text : JSON.stringify(asked),
      bait !== null
    )
    const outcome: Outcome = { status: 200, loginFailed: false, attemptLimited: false }
    try {
      refuse(inspected)
      if (bait !== null) answer(sink, { data: bait })
      else {
        const context = contextOf(caller, inspected, asked, outcome)
        refuseKeys(fault, context)
        await execute(asked, context, { sink, running, outcome })
      }
    } catch (error) {
      const errors = (error as { errors?: GraphQLError[] }).errors ?? [error as Error]
      outcome.status = statusOfErrors(errors, null) ?? 400
      sink.error(errors.map((one) => formatError(one, inspected.id)))
    }
    inspection.settle(inspected, outcome)
    await pump(running, sink, inspected.id)
  }

  function refuse ({ refusedBy, limit }: Inspected): void {
    if (refusedBy === 'limit') {
      throw Object.assign(new NEKO_ERR_LIMIT_EXCEEDED(String(limit.retryAfterSeconds)), {
        retryAfterSeconds: limit.retryAfterSeconds
      })
    }
    if (refusedBy !== null) throw new NEKO_ERR_BLOCKED()
    if (app.isOverloaded()) throw new NEKO_ERR_OVERLOADED('1')
  }

  async function execute (
    asked: SubscribePayload,
    context: OperationContext,
    { sink, running, outcome }: { sink: Sink, running: Running, outcome: Outcome }
  ): Promise<void> {
    const document = readDocument(asked.query, context)
    const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION)!
    if (asked.operationName !== null && operation.name?.value !== asked.operationName) {
      throw new NEKO_ERR_INPUT_INVALID('The document holds no operation of that name')
    }
    if (running.ended) return
    if (operation.operation === 'subscription') {
      const started = await open(document, asked, context)
      if (running.ended) await started.return()
      else running.stream = started
      return
    }
    const { data, errors } = await app.graphql(
      asked.query,
      context as never,
      asked.variables ?? undefined,
      asked.operationName ?? undefined
    )
    outcome.status = context.errorStatus ?? 200
    // mercurius formatted them.
    if (!running.ended) {
      answer(sink, {
        ...(errors === undefined ? {} : { errors: errors as unknown as GraphQLFormattedError[] }),
        data
      })
    }
  }

  /** @throws what the document, its cost or its guards refuse it for */
  async function open (
    document: DocumentNode,
    { variables, operationName }: SubscribePayload,
    context: OperationContext
  ): Promise<AsyncGenerator<ExecutionResult, void, void>> {
    const faults = validate(schema, document, rules, { maxErrors: ERRORS_MAX })
    if (faults.length > 0) throw Object.assign(new Error('the document is not valid'), { errors: faults })
    context.cost = await app.chargeOperation({
      principal: context.principal,
      client: context.client,
      document,
      variables
    })
    const result = await subscribe({
      schema,
      document,
      contextValue: context,
      variableValues: variables,
      operationName
    })
    if (Symbol.asyncIterator in result) return result
    throw Object.assign(new Error('the subscription was refused'), { errors: result.errors ?? [] })
  }

  /**
   * Events until the stream or the client ends it. What is shown live is no record: a slow client's oldest
   * events are lost.
   */
  async function pump (running: Running, sink: Sink, assessment: string): Promise<void> {
    if (running.stream === null) return
    for await (const { data, errors } of running.stream) {
      if (running.ended) return
      sink.next({
        ...(errors === undefined ? {} : { errors: errors.map((one) => formatError(one, assessment)) }),
        ...(data === undefined ? {} : { data })
      })
    }
    if (!running.ended) sink.complete()
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

  function refuseKeys (fault: KeyFault, context: OperationContext): void {
    if (fault?.kind === 'deep') throw new NEKO_ERR_BODY_INVALID(`it is nested deeper than ${JSON_DEPTH_MAX} levels`)
    if (fault === null) return
    noteKey(context, 'body', fault.key)
    throw new NEKO_ERR_KEY_FORBIDDEN()
  }

  function noteKey ({ client, assessmentId, score }: OperationContext, place: 'body' | 'document', key: string): void {
    app.forbiddenKeySeen({ client, assessmentId, score, place, key, target: '/graphql' })
  }

  function contextOf (
    { principal, client, address, requestId }: Caller,
    { id, score }: Inspected,
    { operationName }: SubscribePayload,
    outcome: Outcome
  ): OperationContext {
    return {
      app,
      clock: app.clock,
      principal,
      client,
      address,
      requestId,
      assessmentId: id,
      score,
      // Nothing is compressed here.
      carriesSecret () {},
      method: 'WS',
      operationName,
      errorStatus: null,
      cost: null,
      retryAfterSeconds: null,
      limited: null,
      onLoginFailed () { outcome.loginFailed = true },
      onAttemptLimited () { outcome.attemptLimited = true }
    }
  }

  return function start (asked, text, caller, sink) {
    const running: Running = { ended: false, stream: null }
    const quiet: Sink = {
      next (result) { if (!running.ended) sink.next(result) },
      error (errors) { if (!running.ended) sink.error(errors) },
      complete () { if (!running.ended) sink.complete() }
    }
    run(asked, text, caller, { sink: quiet, running }).catch((error: Error) => quiet.error([formatError(error, null)]))
    return {
      end () {
        running.ended = true
        running.stream?.return().catch(() => { /* its reader is gone */ })
      }
    }
  }
}

function answer (sink: Sink, result: FormattedExecutionResult): void {
  sink.next(result)
  sink.complete()
}
