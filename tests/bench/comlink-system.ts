import type { Remote } from 'comlink'
import type { OpName } from './ops.ts'
import type { System } from './systems.ts'

export interface ComlinkApi {
  run(op: OpName, arg: unknown): unknown
}

/** Round robin over Comlink proxies. */
export function comlinkSystem(remotes: readonly Remote<ComlinkApi>[], close: () => Promise<void>): System {
  let turn = 0
  return {
    name: 'comlink',
    run: (op, arg) => (remotes[turn++ % remotes.length] as Remote<ComlinkApi>).run(op, arg),
    close,
  }
}
