import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Collection } from '../storage/port.ts'
import type { User } from './shapes.ts'

/**
 * The rule of the last administrator: of the active ones, one must stay, or nobody could ever make another. To be
 * asked under the lock of administrators (admin-lock.ts), so that two who remove each other do not both pass.
 * @throws NEKO_ERR_INPUT_INVALID when the change takes away the last one
 */
export async function requireAnotherAdministrator (
  store: Pick<Collection<User>, 'count'>,
  { user, wanted }: { user: User, wanted: User }
): Promise<void> {
  if (!isActiveAdministrator(user) || isActiveAdministrator(wanted)) return
  if (await store.count({ role: 'ADMIN', disabled: false }) < 2) {
    throw new NEKO_ERR_INPUT_INVALID('The last active administrator must stay one')
  }
}

function isActiveAdministrator (user: User): boolean {
  return user.role === 'ADMIN' && !user.disabled
}
