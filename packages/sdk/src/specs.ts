import type { TaskOptionsRecord, TaskSpec } from '@shoal/scheduler'
import type { ReadyArguments } from './arguments.ts'
import type { Operation } from './operation.ts'

/** The specification of one task. */
export function specOf(
  no: number,
  operation: Operation<readonly unknown[], unknown>,
  { payload, nested, needs, chunks }: ReadyArguments,
  options: TaskOptionsRecord,
): TaskSpec {
  const spec = { no, operation: operation.record.hash, args: payload, needs, options, parent: null }
  if (chunks.length === 0 && nested.length === 0) return spec
  return { ...spec, chunks: [...chunks, ...nested.map((chunk) => ({ index: -1, chunk }))] }
}

/** Members that were never sent get the numbers after those that were. */
export function numbers(total: number, ended: readonly { readonly index: number }[]): number[] {
  const unsent = new Set(ended.map(({ index }) => index))
  let sent = 0
  let last = total - ended.length
  return Array.from({ length: total }, (_, index) => (unsent.has(index) ? last++ : sent++))
}
