import { type OpName, runOp } from '../ops.ts'

/** Piscina's task: one argument. */
export function run([op, arg]: readonly [OpName, unknown]): unknown {
  return runOp(op, arg)
}
