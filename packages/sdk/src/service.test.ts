import { inspect } from 'node:util'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { type Chunk, localMesh, type Mesh, type Service, type Task, withContext } from './node.ts'

const open: Mesh[] = []
afterEach(async () => {
  for (const mesh of open.splice(0)) await mesh.close()
})

let shared: Promise<Mesh> | null = null
afterAll(async () => {
  await (await shared)?.close()
})

function meshOfOne(): Promise<Mesh> {
  shared ??= localMesh({ workers: 1, name: 'here' })
  return shared
}

async function ownMesh(): Promise<Mesh> {
  const mesh = await localMesh({ workers: 1, name: 'here' })
  open.push(mesh)
  return mesh
}

class Counter {
  n: number
  constructor(n = 0) {
    this.n = n
  }
  add(k: number): number {
    this.n += k
    return this.n
  }
  async later(k: number): Promise<number> {
    await Promise.resolve()
    return this.add(k)
  }
  fail(text: string): never {
    throw Object.assign(new RangeError(text), { at: this.n })
  }
  nothing(): void {}
  die(): void {
    process.exit(1)
  }
}

describe('mesh.service()', () => {
  test('[SC1] gives a typed handle; calls run in order, one at a time', async () => {
    const mesh = await meshOfOne()
    const counter = await mesh.service(Counter, [5])
    const answers = [counter.add(1), counter.later(2), counter.add(3), counter.later(4)]
    expect(await Promise.all(answers)).toEqual([6, 8, 11, 15])
    expect(await counter.nothing()).toBeUndefined()
    expect(counter.$).toMatchObject({ host: mesh.self, epoch: 1, name: null, follower: null })
    expect(counter.$.stats()).toMatchObject({ durability: 'snapshot', callsRun: 5, callsOpen: 0 })
    expect(mesh.services.list().map(({ id }) => id)).toContain(counter.$.id)
  })

  test('10,000 calls at once are answered in order', async () => {
    const counter = await (await meshOfOne()).service(Counter, [])
    const calls = Array.from({ length: 10_000 }, () => counter.add(1))
    expect(await Promise.all(calls)).toEqual(calls.map((_, index) => index + 1))
  })

  test('[SC3] what a method throws is what the call rejects with, and the service goes on', async () => {
    const counter = await (await meshOfOne()).service(Counter, [5])
    const failing = counter.fail('no more')
    await failing.wait()
    expect(failing.isReady()).toBe(true)
    await expect(failing.fetch()).rejects.toMatchObject({ name: 'RangeError', message: 'no more', at: 5 })
    await expect(failing.fetch()).rejects.toBeInstanceOf(RangeError)
    expect(await counter.add(1)).toBe(6)
    const bare = counter as unknown as { missing(): Promise<void>; n(): Promise<void> }
    await expect(bare.missing()).rejects.toMatchObject({ code: 'E_NO_METHOD' })
    await expect(bare.n()).rejects.toMatchObject({ code: 'E_NO_METHOD' })
  })

  test('a handle is no promise, no plain data, and holds no fields', async () => {
    const counter = await (await meshOfOne()).service(Counter, [5], { name: 'shown' })
    const bare = counter as unknown as Record<string, unknown>
    expect(bare['then']).toBeUndefined()
    expect(JSON.stringify({ counter })).toBe('{"counter":{}}')
    expect([`${counter}`, inspect(counter)]).toEqual(['Service(shown)', 'Service(shown)'])
    expect('$' in counter).toBe(true)
    expect(bare['add']).toBe(bare['add'])
    expect(() => {
      bare['n'] = 7
    }).toThrow(expect.objectContaining({ code: 'E_FORBIDDEN' }))
    await counter.$.delete()
  })

  test('has a name that one service holds at a time, until it is deleted', async () => {
    const mesh = await meshOfOne()
    const ended: unknown[] = []
    const leave = mesh.on('service-ended', (event) => ended.push(event))
    const counter = await mesh.service(Counter, [5], { name: 'counter' })
    expect(await mesh.services.lookup('counter')).toBe(counter)
    await expect(mesh.service(Counter, [], { name: 'counter' })).rejects.toMatchObject({
      code: 'E_NAME_TAKEN',
    })
    await counter.$.delete()
    await expect(counter.add(1).fetch()).rejects.toMatchObject({ code: 'E_SERVICE_DELETED' })
    await expect(mesh.services.lookup('counter')).rejects.toMatchObject({ code: 'E_NO_SERVICE' })
    await expect(counter.$.migrate(mesh.self)).rejects.toMatchObject({ code: 'E_SERVICE_DELETED' })
    expect(counter.$.name).toBe('counter')
    expect(ended).toEqual([{ service: counter.$.id, name: 'counter', reason: 'deleted' }])
    leave()
    const again = await mesh.service(Counter, [7], { name: 'counter' })
    expect(await again.add(1)).toBe(8)
    await again.$.delete()
  })

  test('[SV13] arguments, options, names and targets that are none are refused at the call', async () => {
    const mesh = await meshOfOne()
    const make = mesh.service as (...args: unknown[]) => Promise<unknown>
    for (const args of [undefined, null, 'abc', {}, 5])
      await expect(make(Counter, args)).rejects.toMatchObject({ code: 'E_OPTION', data: { option: 'args' } })
    for (const options of [null, 'abc', { signal: 5 }])
      await expect(make(Counter, [], options)).rejects.toMatchObject({ code: 'E_OPTION' })
    for (const name of [undefined, 5, '', 'x'.repeat(201)])
      await expect(mesh.services.lookup(name as string)).rejects.toMatchObject({ code: 'E_OPTION' })
    const counter = await mesh.service(Counter, [])
    for (const peer of [undefined, null, {}, ''])
      await expect(counter.$.migrate(peer as string)).rejects.toMatchObject({ code: 'E_OPTION' })
    await counter.$.delete()
  })

  test('[SC9] what never gets ready is given up with its signal, and the name is free', async () => {
    const mesh = await meshOfOne()
    const giveUp = new AbortController()
    const never = (): Promise<object> => new Promise(() => {})
    const made = mesh.service(never, [], { name: 'never', signal: giveUp.signal })
    const settled = made.then(
      () => 'made',
      (error: unknown) => error,
    )
    await expect(mesh.service(Counter, [], { name: 'never' })).rejects.toMatchObject({ code: 'E_NAME_TAKEN' })
    giveUp.abort(new Error('enough'))
    expect(await settled).toMatchObject({ message: 'enough' })
    const counter = await mesh.service(Counter, [], { name: 'never' })
    await counter.$.delete()
    await expect(mesh.service(Counter, [], { signal: giveUp.signal })).rejects.toThrow('enough')
  })

  test('[SC2] says at once what it cannot be made of', async () => {
    const mesh = await meshOfOne()
    class Hidden {
      #n = 0
      add(): number {
        this.#n += 1
        return this.#n
      }
    }
    class Throws {
      constructor() {
        throw new RangeError('not today')
      }
    }
    const bad: [unknown, unknown[], object, object][] = [
      [Hidden, [], {}, { code: 'E_CODE', data: { field: '#n' } }],
      [5, [], {}, { code: 'E_CODE' }],
      [class Sub extends Counter {}, [], {}, { code: 'E_CODE' }],
      [Throws, [], {}, { message: expect.stringContaining('not today') }],
      [Counter, [], { durable: true }, { code: 'E_OPTION' }],
      [Counter, [], { every: 0 }, { code: 'E_OPTION' }],
      [Counter, [], { name: '' }, { code: 'E_OPTION' }],
      [Counter, [], { durability: 'disk' }, { code: 'E_OPTION' }],
      [Counter, [], { peer: 'nobody' }, { code: 'E_MIGRATE' }],
      [Counter, [], { peer: 'nobody', durability: 'none' }, { code: 'E_OPTION' }],
    ]
    for (const [shape, args, options, fault] of bad)
      await expect(mesh.service(shape as typeof Counter, args as [], options)).rejects.toMatchObject(fault)
    const hidden = await mesh.service(Hidden, [], { durability: 'none' })
    expect(await hidden.add()).toBe(1)
  })

  test('of a function makes an object, and may keep its state with it', async () => {
    const mesh = await meshOfOne()
    const log = await mesh.service(
      (first: string) => ({
        lines: [first],
        write(line: string): number {
          return this.lines.push(line)
        },
      }),
      ['begin'],
    )
    expect(await log.write('next')).toBe(2)
  })

  test('a handle works inside tasks, inside values, and inside other services', async () => {
    const mesh = await meshOfOne()
    const counter = await mesh.service(Counter, [5])
    type Handle = Service<Counter>
    expect(await mesh.spawn(async (handle: Handle) => (await handle.add(1)) * 10, counter)).toBe(60)
    const boxed = await mesh.spawn((box: { handle: Handle }) => [box.handle], { handle: counter })
    expect(boxed[0]).toBe(counter)
    await expect(
      mesh.spawn(async (handle: Handle) => handle.fail('inside'), counter).fetch(),
    ).rejects.toMatchObject({
      cause: { name: 'RangeError', message: 'inside' },
    })
    class Twice {
      async add(handle: Handle): Promise<number> {
        await handle.add(1)
        return handle.add(1)
      }
    }
    const twice = await mesh.service(Twice, [])
    expect(await twice.add(counter)).toBe(8)
    expect(
      await mesh.spawn(
        withContext((_ctx, handle: Handle) => handle.add(2)),
        counter,
      ),
    ).toBe(10)
  })

  test('[SV13] is waited for by who looks it up, as long as they say', async () => {
    const mesh = await meshOfOne()
    const early = mesh.services.lookup<Counter>('late', { timeoutMs: 60_000 })
    await expect(mesh.services.lookup('late', { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'E_NO_SERVICE',
    })
    const made = await mesh.service(Counter, [5], { name: 'late' })
    expect(await early).toBe(made)
    expect(await mesh.services.lookup('late', { timeoutMs: 0 })).toBe(made)
    for (const timeoutMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number])
      await expect(mesh.services.lookup('late', { timeoutMs })).rejects.toMatchObject({ code: 'E_OPTION' })
    const strange = { timeout: 5 } as object
    await expect(mesh.services.lookup('late', strange)).rejects.toMatchObject({ code: 'E_OPTION' })
  })

  test('[SC7] a method may take the context of its call', async () => {
    const mesh = await meshOfOne()
    class Logs {
      lines = 0
      add = withContext((ctx, by: number) => {
        this.lines += by
        return { lines: this.lines, key: ctx.idempotencyKey, isAborted: ctx.signal.aborted }
      })
      plain(): number {
        return this.lines
      }
    }
    const logs = await mesh.service(Logs, [])
    const [first, second] = [await logs.add(2), await logs.add(3)]
    expect([first, second]).toMatchObject([
      { lines: 2, isAborted: false },
      { lines: 5, isAborted: false },
    ])
    expect(first.key).not.toBe(second.key)
    expect(await logs.plain()).toBe(5)
  })

  test('[SC8] a method spawns tasks and waits for them, in its own call and with what it kept', async () => {
    const mesh = await meshOfOne()
    const busy = await mesh.service(
      withContext((ctx, first: number) => ({
        n: first,
        async run(k: number): Promise<number> {
          const twice = ctx.mesh.spawn((x: number) => x * 2, k)
          const sum = ctx.mesh.spawn((left: number, right: number) => left + right, twice, k)
          const more = await ctx.mesh.map((x: number) => x + 1, [1, 2])
          this.n += (await sum) + more.length
          return this.n
        },
        fail: () => ctx.mesh.spawn((): number => JSON.parse('no') as number),
        same: withContext(async (own, k: number) => own.mesh.spawn((x: number) => x, k)),
        wait: async (task: Task<number>): Promise<number> => (await task) + 1,
      })),
      [1],
    )
    expect([await busy.run(5), await busy.run(1)]).toEqual([18, 23])
    await expect(busy.fail().fetch()).rejects.toMatchObject({ cause: { name: 'SyntaxError' } })
    expect(await busy.same(7)).toBe(7)
    expect(await busy.wait(mesh.spawn(() => 2))).toBe(3)
    expect(await busy.run(0)).toBe(25)
  })

  test('[SC8] a chunk comes to a method as a handle, which works in later calls, too', async () => {
    const mesh = await meshOfOne()
    class Reads {
      chunk: Chunk<Uint8Array> | null = null
      async read(chunk: Chunk<Uint8Array>): Promise<number> {
        return (await chunk.get()).length
      }
      keep(box: { readonly inner: Chunk<Uint8Array> }): void {
        this.chunk = box.inner
      }
      async kept(): Promise<number> {
        return this.chunk === null ? -1 : this.read(this.chunk)
      }
      give(): unknown {
        return { inner: this.chunk }
      }
      put = withContext(async (ctx, length: number) => [await ctx.mesh.put(new Uint8Array(length))] as const)
    }
    const reads = await mesh.service(Reads, [])
    // Nobody but the call holds it.
    expect(await reads.read(await mesh.put(new Uint8Array(3)))).toBe(3)
    using chunk = await mesh.put(new Uint8Array(5))
    await reads.keep({ inner: chunk })
    expect(await reads.kept()).toBe(5)
    const { inner } = (await reads.give()) as { inner: Chunk<Uint8Array> }
    expect(inner.id).toBe(chunk.id)
    const [made] = await reads.put(7)
    expect(await made.get()).toHaveLength(7)
  })

  test('[SV10] two services that keep each other’s handles are told so, however long ago they got them', async () => {
    const mesh = await meshOfOne()
    class Hops {
      other: { hop(left: number): PromiseLike<number> } | null = null
      keep(other: unknown): void {
        this.other = other as never
      }
      hop(left: number): number | PromiseLike<number> {
        return left === 0 || this.other === null ? 0 : this.other.hop(left - 1)
      }
    }
    const [x, y] = [await mesh.service(Hops, []), await mesh.service(Hops, [])]
    await Promise.all([x.keep(y), y.keep(x)])
    expect(await x.hop(1)).toBe(0)
    await expect(x.hop(2).fetch()).rejects.toMatchObject({ code: 'E_WOULD_DEADLOCK' })
    expect([await x.hop(1), await y.hop(1)]).toEqual([0, 0])
  })

  test('a service that calls itself, directly or through another, is told so', async () => {
    const mesh = await meshOfOne()
    interface Asked {
      ask(next: unknown, last: unknown): PromiseLike<string>
    }
    class Calls {
      async ask(next: Asked, last: Asked | null): Promise<string> {
        return next.ask(last ?? next, null)
      }
    }
    const [left, right] = [await mesh.service(Calls, []), await mesh.service(Calls, [])]
    await expect(left.ask(left, null).fetch()).rejects.toMatchObject({ code: 'E_WOULD_DEADLOCK' })
    await expect(left.ask(right, left).fetch()).rejects.toMatchObject({ code: 'E_WOULD_DEADLOCK' })
  })

  test('a worker that dies costs nothing that was kept', async () => {
    const mesh = await ownMesh()
    const kept = await mesh.service(Counter, [5])
    const bare = await mesh.service(Counter, [5], { durability: 'none' })
    expect([await kept.add(1), await bare.add(1)]).toEqual([6, 6])
    const dying = [kept.die(), bare.die()]
    await Promise.all(dying.map((call) => call.wait()))
    expect([await kept.add(1), await bare.add(1)]).toEqual([7, 6])
  })

  test('[69] a service whose worker dies again and again ends, and its callers hear why', async () => {
    const mesh = await ownMesh()
    class Bomb {
      constructor() {
        setTimeout(() => process.exit(1))
      }
      never(): Promise<void> {
        return new Promise(() => {})
      }
    }
    const ended = new Promise((resolve) => mesh.on('service-ended', ({ reason }) => resolve(reason)))
    const bomb = await mesh.service(Bomb, [])
    expect(await ended).toBe('crashing')
    await expect(bomb.never().fetch()).rejects.toMatchObject({ code: 'E_SERVICE_CRASH_LOOP' })
    const counter = await mesh.service(Counter, [5])
    expect(await counter.add(1)).toBe(6)
  })

  test('closing the mesh ends what waits', async () => {
    const mesh = await ownMesh()
    const slow = await mesh.service(() => ({ wait: () => new Promise<void>(() => {}) }), [])
    const waiting = slow.wait()
    const closing = mesh.close()
    await expect(waiting.fetch()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(slow.wait().fetch()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(mesh.service(Counter, [])).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(mesh.services.lookup('x')).rejects.toMatchObject({ code: 'E_CLOSED' })
    await closing
  })
})
