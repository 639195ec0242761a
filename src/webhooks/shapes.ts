import type { CollectionDefinition } from '../storage/port.ts'

/**
 * Shapes of webhooks: what a message tells of one attacker (Notice), and a message that could not be delivered
 * (DeadLetter).
 */
export interface Notice {
  kind: 'alert' | 'escalate'
  /** Name of the playbook whose run asked for it. */
  playbook: string
  attacker: string
  assessmentId: string
  score: number
  reason: string
  simulated: boolean
  /** Its id, when there is one. */
  incident: string | null
}

export interface DeadLetter { id: string, at: number, url: string, body: string, problem: string }

/** As stored: forgotten 30 days after it was given up. */
export interface StoredDeadLetter extends DeadLetter { expiresAt: number }

export const deadLetterCollection: CollectionDefinition = {
  name: 'webhookDeadLetters',
  expiryField: 'expiresAt',
  indexes: [{ name: 'dead_letters_at', fields: [['at', -1]] }]
}

export const webhookCollections: CollectionDefinition[] = [deadLetterCollection]
