import { describe, expect, test } from 'vitest'
import { markContext, serviceCommand, serviceFrom } from './index.ts'

type Run = (command: number, a?: unknown, b?: unknown, hasState?: boolean) => unknown

let loads = 0
/** An instance of its own for each call, as each worker has. */
async function load(shape: unknown): Promise<Run> {
  const source = `${serviceFrom(shape).record.source}\n// ${++loads}`
  const module = await import(
    /* @vite-ignore */ `data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`
  )
  return module.default as Run
}

const { call, open, snapshot } = serviceCommand

class Counter {
  static step = 1
  n: number
  readonly seen = new Map<string, number>()
  twice = (): number => this.n * 2
  constructor(n: number) {
    this.n = n
  }
  add(k: number): number {
    this.n += k * Counter.step
    this.seen.set(`at ${this.n}`, k)
    return this.n
  }
  get size(): number {
    return this.seen.size
  }
}

describe('serviceFrom()', () => {
  test('[CO1] a class with fields and statics travels with one instance, and its name', async () => {
    const run = await load(Counter)
    await run(open, null, [5])
    expect(run(call, 'add', [2])).toBe(7)
    expect(run(call, 'twice', [])).toBe(14)
    expect(serviceFrom(Counter).record.name).toBe('Counter')
    expect(serviceFrom(Counter)).toBe(serviceFrom(Counter))
  })

  test('[SC2] the state is the own enumerable fields that are no functions', async () => {
    const first = await load(Counter)
    await first(open, null, [5])
    first(call, 'add', [2])
    const state = first(snapshot)
    expect(state).toEqual({ n: 7, seen: new Map([['at 7', 2]]) })
    const second = await load(Counter)
    await second(open, state, [5], true)
    expect([second(call, 'add', [1]), second(call, 'twice', [])]).toEqual([8, 16])
  })

  test('[SC2] snapshot() and restore(state) decide when the class has them', async () => {
    class Hidden {
      #n = 1
      add(k: number): number {
        this.#n += k
        return this.#n
      }
      snapshot(): number {
        return this.#n
      }
      restore(n: number): void {
        this.#n = n
      }
    }
    expect(serviceFrom(Hidden).hiddenFields).toEqual([])
    const first = await load(Hidden)
    await first(open, null, [])
    first(call, 'add', [4])
    const second = await load(Hidden)
    await second(open, first(snapshot), [], true)
    expect(second(call, 'add', [1])).toBe(6)
  })

  test('[SC2] private fields without snapshot() are named, private methods are not', () => {
    class Hidden {
      #n = 1
      add(k: number): number {
        this.#n = this.#sum(k)
        return this.#n
      }
      #sum(k: number): number {
        return this.#n + k
      }
    }
    expect(serviceFrom(Hidden).hiddenFields).toEqual(['#n'])
  })

  test('[SC2] a field that would come back as something else fails the snapshot by its name', async () => {
    const run = await load(
      class {
        readonly list = new (class List {
          items = []
        })()
      },
    )
    await run(open, null, [])
    const fault = { code: 'E_NOT_SERIALIZABLE', message: expect.stringContaining('"list"') }
    expect(() => run(snapshot)).toThrow(expect.objectContaining(fault))
  })

  test('a function makes an object, with the context first when it is marked', async () => {
    const plain = await load((n: number) => ({ n, add: (k: number) => n + k }))
    await plain(open, null, [3])
    expect(plain(call, 'add', [4])).toBe(7)
    const run = (await load(
      markContext(((ctx: { at: string }, n: number) => ({ at: () => `${ctx.at} ${n}` })) as never),
    )) as (...args: unknown[]) => unknown
    await run({ at: 'open' }, open, null, [3])
    expect(run({ at: 'call' }, call, 'at', [])).toBe('open 3')
  })

  test('a method may take the context of its call, however a bundler writes that', async () => {
    const texts = ['withContext(', '__vi_import_0__.withContext(', '(0, sdk_1.withContext)(']
    for (const text of texts) {
      const make = new Function(
        `return class { n = 5; add = ${text}(ctx, k) => [ctx.at, (this.n += k)]); inner() { return this.add(1) } }`,
      )()
      const run = (await load(make)) as (...args: unknown[]) => unknown
      await run({}, open, null, [])
      expect(run({ at: 'one' }, call, 'add', [2])).toEqual(['one', 7])
      expect(run({ at: 'two' }, call, 'add', [3])).toEqual(['two', 10])
      expect(run({}, snapshot)).toEqual({ n: 10 })
      expect(() => run({}, call, 'inner', [])).toThrow(expect.objectContaining({ code: 'E_CODE' }))
    }
  })

  test.each(['constructor', 'missing', 'size', 'hasOwnProperty', 'n', '__proto__'])(
    '[SC3] "%s" cannot be called',
    async (name) => {
      const run = await load(Counter)
      await run(open, null, [5])
      expect(() => run(call, name, [])).toThrow(expect.objectContaining({ code: 'E_NO_METHOD' }))
    },
  )

  test('refuses what cannot travel', async () => {
    class Sub extends Counter {}
    for (const bad of [5, null, undefined, 'text', {}, Sub, Map, Counter.bind(null)])
      expect(() => serviceFrom(bad), String(bad)).toThrow(expect.objectContaining({ code: 'E_CODE' }))
    const run = await load(() => 5)
    await expect(run(open, null, [])).rejects.toMatchObject({ code: 'E_CODE' })
  })
})
