import { type TaskContext, withContext } from '@shoal/sdk'

/*
 * What the chaos run asks of the room. Bodies travel as text: each must stand alone. Every execution says
 * that it begins, to the run itself and not through the mesh, so that executions are counted by one observer
 * with one clock.
 */

/** A task's value: which one it is, and a number that no two executions share. */
export type Value = readonly [index: number, execution: string]

export interface WorkItem {
  readonly index: number
  readonly ms: number
  readonly startsUrl: string
}

/** Computes for some time. */
export const work = withContext(async (ctx: TaskContext, item: WorkItem): Promise<Value> => {
  const execution = `${ctx.attempt}-${Math.random()}`
  const query = new URLSearchParams({ task: ctx.idempotencyKey, processor: ctx.processor })
  await fetch(`${item.startsUrl}?${query}`, { mode: 'no-cors' }).then(
    (answer) => answer.text(),
    () => null,
  )
  const endAt = performance.now() + item.ms
  while (performance.now() < endAt);
  return [item.index, execution]
})

/** Never gives its processor back. */
export const hang = (_item: WorkItem): Value => {
  for (;;);
}

/** Fills the heap of its worker. */
export const heapBomb = (_item: WorkItem): Value => {
  const kept: unknown[] = []
  for (;;) kept.push(new Array(1000).fill(kept.length).map(String))
}

/** Kills the process that it runs in. */
export const poison = (item: WorkItem): Value => {
  process.kill(process.pid, 'SIGKILL')
  for (;;) if (item.index < 0) return [0, '']
}
