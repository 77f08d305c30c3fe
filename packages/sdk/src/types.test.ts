import { describe, expectTypeOf, test } from 'vitest'
import { withContext } from './context.ts'
import { operation } from './operation.ts'
import type { Service, ServiceCall } from './service.types.ts'
import type { Completed, Mesh, Task, TaskGroup } from './types.ts'

const add1 = operation('add1', (x: number) => x + 1)
const label = operation('label', async (x: number, text: string) => `${text}${x}`)

/** Never called: only the types of what is inside are looked at, by the compiler. */
function spawning(mesh: Mesh, task: Task<number>, text: Task<string>): void {
  expectTypeOf(mesh.spawn(add1, 4)).toEqualTypeOf<Task<number>>()
  expectTypeOf(mesh.spawn(label, task, 'x')).toEqualTypeOf<Task<string>>()
  expectTypeOf(mesh.spawn((a: number, b: number) => a + b, task, 3)).toEqualTypeOf<Task<number>>()
  expectTypeOf(mesh.spawn((a, b) => a + b, task, 3)).toEqualTypeOf<Task<number>>()
  expectTypeOf(mesh.spawn(() => [1])).toEqualTypeOf<Task<number[]>>()
  expectTypeOf(mesh.map((x: number) => String(x), [1, task])).toEqualTypeOf<TaskGroup<string>>()
  expectTypeOf(mesh.map((x) => x * 2, [1, 2])).toEqualTypeOf<TaskGroup<number>>()
  expectTypeOf(mesh.with({ priority: 1 }).spawn(add1, 1)).toEqualTypeOf<Task<number>>()
  // @ts-expect-error a text is no number
  mesh.spawn(add1, 'four')
  // @ts-expect-error the task of a text is no number
  mesh.spawn(add1, text)
  // @ts-expect-error one argument is missing
  mesh.spawn(label, 1)
  // @ts-expect-error items of another type
  mesh.map(add1, ['a'])
  // @ts-expect-error no such option
  mesh.with({ retries: 3 })
}

function nesting(mesh: Mesh): void {
  const twice = withContext(async (ctx, n: number) => (await ctx.mesh.spawn(add1, n)) * 2)
  expectTypeOf(mesh.spawn(twice, 2)).toEqualTypeOf<Task<number>>()
  expectTypeOf(mesh.spawn(operation('twice', twice), 2)).toEqualTypeOf<Task<number>>()
  const outer = withContext((ctx, n: number) => ctx.mesh.spawn(add1, n))
  expectTypeOf(mesh.spawn(outer, 1)).toEqualTypeOf<Task<number>>()
  const held = withContext((ctx, n: number) => ({ task: ctx.mesh.spawn(add1, n) }))
  expectTypeOf(mesh.spawn(held, 1)).toEqualTypeOf<Task<{ task: Task<number> }>>()
}

function collecting(mesh: Mesh, task: Task<number>): void {
  expectTypeOf(mesh.all([task, mesh.spawn(() => 'a')])).toEqualTypeOf<Promise<[number, string]>>()
  expectTypeOf(mesh.any([task])).toEqualTypeOf<Promise<number>>()
  expectTypeOf(mesh.asCompleted([task])).toEqualTypeOf<AsyncIterable<Completed<number>>>()
  expectTypeOf(mesh.sync((m) => m.spawn(add1, 1))).toEqualTypeOf<Promise<number>>()
  expectTypeOf(mesh.task<string>('job/0')).toEqualTypeOf<Task<string>>()
}

class Counter {
  readonly #start: number
  size = 0
  constructor(start: number) {
    this.#start = start
  }
  add(k: number): number {
    return this.#start + k
  }
  async label(text: string): Promise<string> {
    return text
  }
  snapshot(): number {
    return this.size
  }
}

async function serving(mesh: Mesh): Promise<void> {
  const counter = await mesh.service(Counter, [1], { name: 'counter' })
  expectTypeOf(counter).toEqualTypeOf<Service<Counter>>()
  expectTypeOf(counter.add(1)).toEqualTypeOf<ServiceCall<number>>()
  expectTypeOf(counter.label('x')).toEqualTypeOf<ServiceCall<string>>()
  expectTypeOf(mesh.services.lookup<Counter>('counter')).toEqualTypeOf<Promise<Service<Counter>>>()
  const log = await mesh.service((first: string) => ({ write: (line: string) => first + line }), ['x'])
  expectTypeOf(log.write('y')).toEqualTypeOf<ServiceCall<string>>()
  // @ts-expect-error the constructor takes a number
  await mesh.service(Counter, ['1'])
  // @ts-expect-error a text is no number
  counter.add('1')
  // @ts-expect-error a field is no method
  counter.size()
  // @ts-expect-error only its host calls that
  counter.snapshot()
  // @ts-expect-error no such option
  await mesh.service(Counter, [1], { durable: true })
}

describe('the types of a mesh', () => {
  test('argument and result types flow from operations to handles', () => {
    for (const check of [spawning, nesting, collecting]) expectTypeOf(check).returns.toEqualTypeOf<void>()
    expectTypeOf(serving).returns.toEqualTypeOf<Promise<void>>()
  })
})
