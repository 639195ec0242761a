import type { Playbook } from './shapes.ts'

/**
 * The eight playbooks, as data. Their order is their priority: one blocking run per request, the rest record.
 *
 * A refused request is not yet a banned client: a standing block needs a score of 90, evidence that has no ordinary
 * reading, a decoy touched at a blocking score, or the third refusal within ten minutes. Anything harsher would ban
 * every office network within minutes at half a per cent of false alarms.
 */
const HOUR = 3600

export const PLAYBOOKS: readonly Playbook[] = [
  {
    name: 'CRITICAL_THREAT_RESPONSE',
    description: 'A score of 90 or more: block for 24 hours and escalate.',
    when: { scoreAtLeast: 90 },
    steps: [{ do: 'block', ttlSeconds: 24 * HOUR }, { do: 'capture' }, { do: 'tag' }, { do: 'escalate' }],
    opensIncident: true,
    windowSeconds: 60
  },
  {
    name: 'ACTIVE_ATTACK_DETECTED',
    description:
      'Payload evidence of grade certain: block for 4 hours. The fifth request within 10 minutes that uses up ' +
      'the time of scoring threads: 10 minutes. Keep the evidence, tag the technique, alert.',
    when: { certainEvidence: true },
    orWhen: { exhausts600sAtLeast: 5 },
    steps: [
      { do: 'block', ttlSeconds: 600, when: { exhausts600sAtLeast: 5 } },
      { do: 'block', ttlSeconds: 4 * HOUR },
      { do: 'capture' },
      { do: 'tag' },
      { do: 'alert' }
    ],
    opensIncident: true,
    windowSeconds: 60
  },
  {
    name: 'RATE_LIMIT_VIOLATION',
    description:
      'Login or refresh over the strict tier, or the third violation within 10 minutes: ' +
      "the limit's own block becomes 5 minutes.",
    when: { limitViolation: true },
    steps: [{ do: 'limit', seconds: 300 }],
    opensIncident: true,
    windowSeconds: 60
  },
  {
    name: 'AUTOMATION_DETECTED',
    description: 'Signs of automation: the strict tier and a challenge for 10 minutes, renewed while they last.',
    when: { automation: true },
    steps: [{ do: 'quarantine', seconds: 600 }],
    opensIncident: true,
    windowSeconds: 300
  },
  {
    name: 'HONEYPOT_CAPTURE',
    description: 'A decoy was touched: keep the evidence; block for 2 hours at a blocking score.',
    when: { decoy: true },
    steps: [{ do: 'capture' }, { do: 'tag' }, { do: 'block', ttlSeconds: 2 * HOUR, when: { blockingScore: true } }],
    opensIncident: true,
    windowSeconds: 60
  },
  {
    name: 'BEHAVIORAL_ANOMALY',
    description: 'A client that behaves unlike itself: record every request of it for an hour.',
    when: { anomaly: true },
    steps: [{ do: 'watch', seconds: HOUR }],
    opensIncident: true,
    windowSeconds: HOUR
  },
  {
    name: 'HIGH_THREAT_RESPONSE',
    description: 'Refused by its score for the third time within 10 minutes: block for 2 hours.',
    when: { blockingScore: true, refusals600sAtLeast: 3 },
    steps: [{ do: 'block', ttlSeconds: 2 * HOUR }, { do: 'capture' }, { do: 'alert' }],
    opensIncident: true,
    windowSeconds: 60
  },
  {
    name: 'STANDARD_MONITORING',
    description: 'Anything at or above the challenge threshold: the audit trail only.',
    when: { challengingScore: true },
    steps: [],
    opensIncident: false,
    windowSeconds: 60
  }
]
