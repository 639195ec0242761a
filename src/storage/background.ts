import type { Storage } from './port.ts'

/** The same store for work that nobody waits for: each call has 5 s, and its lateness disturbs no request. */
export function inBackground (storage: Storage): Storage {
  return { ...storage, collection: (definition) => storage.collection(definition, 'background') }
}
