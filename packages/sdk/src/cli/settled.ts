import type { Mesh } from '../types.ts'

/** Nothing new for this long: the view is what it will be. More than the 1.5 s after which the other side dials (WP7). */
const quietMs = 2_000
/** A room whose peers come and go all the time is described as it is by then. */
const longestMs = 5_000

/** Resolves when the peers that were there have said hello: the first look at a room is otherwise empty. */
export function whenSettled(mesh: Mesh, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(quiet)
      clearTimeout(longest)
      unsubscribe()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const longest = setTimeout(finish, longestMs)
    let quiet = setTimeout(finish, quietMs)
    const unsubscribe = mesh.on('peers-changed', () => {
      clearTimeout(quiet)
      quiet = setTimeout(finish, quietMs)
    })
    signal.addEventListener('abort', finish)
  })
}
