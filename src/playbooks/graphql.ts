import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import type { PlaybookName } from './shapes.ts'

export const playbooksGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """The eight playbooks, highest priority first."""
    enum PlaybookName {
      """A score of 90 or more."""
      CRITICAL_THREAT_RESPONSE
      """Payload evidence that has no ordinary reading."""
      ACTIVE_ATTACK_DETECTED
      """A limit crossed at login, or the third time within 10 minutes."""
      RATE_LIMIT_VIOLATION
      """Signs of automation."""
      AUTOMATION_DETECTED
      """A decoy was touched."""
      HONEYPOT_CAPTURE
      """A client that behaves unlike itself."""
      BEHAVIORAL_ANOMALY
      """Refused by its score for the third time within 10 minutes."""
      HIGH_THREAT_RESPONSE
      """Anything else at or above the challenge threshold."""
      STANDARD_MONITORING
    }

    """A rule: when it fires and what it does."""
    type Playbook {
      """Its name."""
      name: PlaybookName!
      """What it is for."""
      description: String!
      """What it does, in order."""
      steps: [String!]!
      """Whether a person sees it as an incident."""
      opensIncident: Boolean!
      """One run per attacker in this time."""
      windowSeconds: Int!
    }

    """One execution of a playbook."""
    type PlaybookRun {
      """Its id."""
      id: ID!
      """Which playbook."""
      playbook: PlaybookName!
      """Against whom."""
      attacker: String!
      """When."""
      at: DateTime!
      """The receipt that it acted on."""
      assessmentId: ID!
      """done, failed, simulated or skipped."""
      result: String!
      """What each step came to."""
      steps: [PlaybookStep!]!
      """True when nothing was done."""
      dryRun: Boolean!
    }

    """One step of a run."""
    type PlaybookStep {
      """block, escalate, alert, capture, tag, quarantine, limit or watch."""
      step: String!
      """done, failed, simulated or skipped."""
      result: String!
      """In words."""
      detail: String!
      """How often it was tried."""
      attempts: Int!
    }

    extend type Query {
      """The playbooks in force, highest priority first."""
      playbooks: [Playbook!]! @auth(scope: "read") @cached(time: MEDIUM)
    }

    extend type Mutation {
      """Runs a playbook on a receipt, or with dryRun says what it would do."""
      runPlaybook(
        """Which."""
        name: PlaybookName!
        """The receipt to act on."""
        assessmentId: ID!
        """True: do nothing, say what would be done."""
        dryRun: Boolean = false
      ): PlaybookRun! @auth(scope: "decide")
    }
  `,
  resolvers: {
    Query: {
      playbooks: (_parent, _args, { app }: GraphqlContext) => app.playbooks.list()
    },
    Mutation: {
      runPlaybook: (_parent, { name, assessmentId, dryRun = false }: RunArgs, { app, principal }: GraphqlContext) =>
        app.playbooks.runOn(name, assessmentId, { dryRun, actor: principal!.clientKey, maker: principal! })
    },
    PlaybookStep: {
      step: (step: { do: string }) => step.do
    }
  }
}

interface RunArgs { name: PlaybookName, assessmentId: string, dryRun?: boolean }
