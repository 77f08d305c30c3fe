import type { Mesh } from '@shoal/sdk'
import { noop, type OpName, ops, spin } from './ops.ts'

/** Anything that runs the benchmark's operations on two workers. */
export interface System {
  readonly name: string
  run(op: OpName, arg: unknown): PromiseLike<unknown>
  close(): Promise<void>
}

/** Shoal, as its users call it. */
export function meshSystem(mesh: Mesh, name = 'shoal'): System {
  return {
    name,
    run(op, arg) {
      if (op === 'noop') return mesh.spawn(noop, arg)
      if (op === 'spin') return mesh.spawn(spin, arg as number)
      throw new Error(`Cannot run ${op} as it must stand alone: current value calls ${Object.keys(ops)}`)
    },
    close: () => mesh.close(),
  }
}

export const workersPerSystem = 2
