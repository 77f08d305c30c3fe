import { inspect } from 'node:util'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { CancelledError, localMesh, type Mesh, operation, TaskFailedError, withContext } from './node.ts'
import { createGate, type Gate, held } from './testing/gate.ts'

const open: (Mesh | Gate)[] = []
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close()
})

/** Tests of one file share their meshes: starting workers is the slow part. */
const shared = new Map<number, Promise<Mesh>>()
afterAll(async () => {
  for (const mesh of shared.values()) await (await mesh).close()
})

function meshOf(workers: number): Promise<Mesh> {
  const mesh = shared.get(workers) ?? localMesh({ workers, name: 'here' })
  shared.set(workers, mesh)
  return mesh
}

async function ownMesh(workers: number): Promise<Mesh> {
  const mesh = await localMesh({ workers, name: 'here' })
  open.push(mesh)
  return mesh
}

function gate(): Gate {
  const made = createGate()
  open.push(made)
  return made
}

async function failureOf(promise: PromiseLike<unknown>): Promise<TaskFailedError> {
  const error = await Promise.resolve(promise).then(
    () => expect.unreachable('it did not fail'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(TaskFailedError)
  return error as TaskFailedError
}

const add1 = operation('add1', (x: number) => x + 1)
const add2 = operation('add2', (x: number) => x + 2)
const combine = operation('combine', (p: number, q: number, r: number) => p + q + r)
const boom = operation('boom', (): number => {
  throw new TypeError('Test')
})

describe('[A1] tasks as arguments', () => {
  test('the example of the documentation gives 16', async () => {
    const mesh = await meshOf(2)
    const p = mesh.spawn(add1, 4)
    const q = mesh.spawn(add2, p)
    const r = mesh.spawn(add1, 3)
    const s = mesh.spawn(combine, p, q, r)
    expect(await s).toBe(16)
    expect([p.status, q.status, r.status, s.status]).toEqual(['done', 'done', 'done', 'done'])
    // Tasks that have ended are passed by value.
    expect(await mesh.spawn(combine, p, q, r)).toBe(16)
  })

  test('a task is ready when its gate has opened, not before', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const task = mesh.spawn(held<string>, shut.name, 'value')
    expect(task.status).toBe('waiting')
    await shut.whenStarted(1)
    expect([task.isReady(), task.status]).toEqual([false, 'assigned'])
    expect(inspect(task)).toBe(`Task(${task.id} assigned)`)
    shut.open()
    await task.wait()
    expect(task.isReady()).toBe(true)
    expect(await Promise.all([task, task.fetch(), task.fetch()])).toEqual(['value', 'value', 'value'])
  })

  test('only the arguments themselves are replaced; a task inside an object stays a handle', async () => {
    const mesh = await meshOf(1)
    const inner = mesh.spawn(add1, 1)
    expect(await mesh.spawn((x: unknown) => typeof x, inner)).toBe('number')
    expect(await mesh.spawn((box: { task: unknown }) => typeof box.task, { task: inner })).toBe('object')
  })

  test('`after` orders without passing a value', async () => {
    const mesh = await meshOf(2)
    const shut = gate()
    const first = mesh.spawn(held<string>, shut.name, 'first')
    const second = mesh.with({ after: [first] }).spawn(held<string>, shut.name, 'second')
    await shut.whenStarted(1)
    shut.open()
    await second
    expect(shut.started).toEqual(['first', 'second'])
    const bad = mesh.spawn(boom)
    expect((await failureOf(mesh.with({ after: [bad] }).spawn(add1, 1))).originTaskId).toBe(bad.id)
  })
})

describe('[A2] nested tasks', () => {
  const fib = withContext(async function fib(ctx, n: number): Promise<number> {
    if (n < 2) return n
    const left = ctx.mesh.spawn(fib, n - 1)
    const right = ctx.mesh.spawn(fib, n - 2)
    return (await left) + (await right)
  })

  test('fib(10) is 55 on one worker, with every level awaiting its children', async () => {
    const mesh = await meshOf(1)
    expect(await mesh.spawn(fib, 10)).toBe(55)
  })

  test('a body may wait for its child in the very turn of the spawn', async () => {
    const mesh = await ownMesh(1)
    const body = withContext(async (ctx, x: number) => {
      await ctx.mesh.spawn((y: number) => y, x).wait()
      return ctx.mesh.spawn((y: number) => y * 2, x).fetch()
    })
    expect(await mesh.spawn(body, 21)).toBe(42)
  })

  test('a handle that a body gives back inside an object is a handle here', async () => {
    const mesh = await meshOf(1)
    const boxed = await mesh.spawn(
      withContext((ctx, a: number, b: number) => ({
        task: ctx.mesh.spawn((x: number, y: number) => x + y, a, b),
      })),
      1,
      2,
    )
    expect(typeof boxed.task.fetch).toBe('function')
    expect(await boxed.task).toBe(3)
    const flat = mesh.spawn(
      withContext((ctx, a: number, b: number) => ctx.mesh.spawn((x: number, y: number) => x + y, a, b)),
      1,
      2,
    )
    expect(await flat).toBe(3)
  })
})

describe('[A3] errors', () => {
  test('a failure reaches its dependants with its origin, and nobody else', async () => {
    const mesh = await meshOf(2)
    const a = mesh.spawn(boom)
    const b = mesh.spawn(add1, a)
    const c = mesh.spawn(add1, b)
    const d = mesh.spawn(combine, mesh.spawn(add1, 0), c, 1)
    const e = mesh.spawn(add1, 41)
    await Promise.all([a.wait(), b.wait(), c.wait(), d.wait()])
    const late = mesh.spawn(add1, a)
    expect([a, b, c, d].every((task) => task.isReady())).toBe(true)
    expect(await e).toBe(42)

    const direct = await failureOf(a)
    expect(direct).toMatchObject({ code: 'E_TASK_FAILED', taskId: a.id, originTaskId: a.id, attempts: 1 })
    expect(direct.peerId).toBe(mesh.self)
    expect(direct.cause).toBeInstanceOf(TypeError)
    expect(direct.message).toContain(`Cannot fetch task "boom" (${a.id}) as it failed on peer "here"`)
    expect(direct.message).toContain('TypeError: Test')
    for (const task of [d, late]) {
      const failure = await failureOf(task)
      expect(failure).toMatchObject({ taskId: task.id, originTaskId: a.id })
      expect(failure.cause).toMatchObject({ name: 'TypeError', message: 'Test' })
    }
    expect((await failureOf(d)).message).toContain('its input "boom"')
  })

  test('a failure that nobody fetches does not become an unhandled rejection', async () => {
    const mesh = await meshOf(1)
    const unhandled: unknown[] = []
    const listener = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listener)
    const ignored = [mesh.spawn(boom), mesh.spawn(add1, mesh.spawn(boom))]
    mesh.map(boom as never, [1, 2, 3])
    await Promise.all(ignored.map((task) => task.wait()))
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', listener)
    expect(unhandled).toEqual([])
  })

  test('an error keeps its name, message, code, fields and cause', async () => {
    const mesh = await meshOf(1)
    const failure = await failureOf(
      mesh.spawn(() => {
        class QuotaError extends Error {
          override name = 'QuotaError'
          code = 'QUOTA'
          left = 3
        }
        throw new QuotaError('none left', { cause: new RangeError('inner') })
      }),
    )
    expect(failure.code).toBe('E_TASK_FAILED')
    expect(failure.cause).toMatchObject({ name: 'QuotaError', message: 'none left', code: 'QUOTA', left: 3 })
    expect((failure.cause as Error).cause).toMatchObject({ name: 'RangeError', message: 'inner' })
  })

  test('a capture is named; its siblings are well', async () => {
    const mesh = await meshOf(1)
    const factor = 3
    const [bad, good] = [mesh.spawn((x: number) => x * factor, 2), mesh.spawn(add1, 1)]
    const failure = await failureOf(bad)
    expect(failure.code).toBe('E_CODE')
    expect(failure.message).toContain('factor')
    expect(await good).toBe(2)
  })

  test('an argument that cannot travel fails its task alone', async () => {
    const mesh = await meshOf(1)
    const [bad, good] = [
      mesh.spawn(
        (x: unknown) => x,
        () => 1,
      ),
      mesh.spawn(add1, 1),
    ]
    expect((await failureOf(bad)).code).toBe('E_NOT_SERIALIZABLE')
    expect(await good).toBe(2)
    const group = mesh.map((x: unknown) => x, [1, Symbol('no'), 3])
    expect((await failureOf(group)).code).toBe('E_NOT_SERIALIZABLE')
  })

  test.each([
    ['a class', class Thing {}],
    ['a native function', Math.max],
    ['no function at all', 7],
  ])('%s is refused at the call', async (_, body) => {
    const mesh = await meshOf(0)
    expect(() => mesh.spawn(body as never)).toThrow(expect.objectContaining({ code: 'E_CODE' }))
  })
})

describe('[A4] one winner', () => {
  test('a task that is cancelled as it ends has one outcome, the same for everybody', async () => {
    const mesh = await meshOf(2)
    for (let round = 0; round < 200; round++) {
      const task = mesh.spawn(add1, round)
      const dependant = mesh.spawn(add1, task)
      const cancelled = (round % 4 === 0 ? Promise.resolve() : mesh.spawn(add1, 0).wait()).then(() =>
        task.cancel('race'),
      )
      const seen = await Promise.all(
        Array.from({ length: 16 }, () =>
          task.fetch().then(
            (value) => `value ${value}`,
            (error: Error) => error.constructor.name,
          ),
        ),
      )
      await cancelled
      expect(new Set(seen).size).toBe(1)
      expect([`value ${round + 1}`, 'CancelledError']).toContain(seen[0])
      const next = await dependant.fetch().then(
        () => 'value',
        (error: Error) => error.name,
      )
      expect(next).toBe(task.status === 'done' ? 'value' : 'TaskFailedError')
    }
    expect(await mesh.spawn(add1, 1)).toBe(2)
  })

  test('a body that never looks up is stopped, and its worker goes on with others', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const task = mesh.spawn((name: string) => {
      const channel = new BroadcastChannel(name)
      channel.postMessage('stuck')
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    }, shut.name)
    await shut.whenStarted(1)
    task.cancel('too long')
    await expect(task.fetch()).rejects.toMatchObject({
      code: 'E_CANCELLED',
      reason: 'too long',
      taskId: task.id,
    })
    expect(await mesh.spawn(add1, 1)).toBe(2)
  })
})

describe('[A5] shapes', () => {
  test('a chain of 500 of which only the end is kept', async () => {
    const mesh = await meshOf(2)
    let last = mesh.spawn(add1, 0)
    for (let step = 1; step < 500; step++) last = mesh.spawn(add1, last)
    expect(await last).toBe(500)
  })

  test('a tree of 1,000 ones', async () => {
    const mesh = await meshOf(2)
    let level = Array.from({ length: 1_000 }, () => mesh.spawn(add1, 0))
    while (level.length > 1) {
      const next: typeof level = []
      for (let index = 0; index < level.length; index += 2) {
        const [left, right] = [level[index], level[index + 1]]
        if (left === undefined) continue
        next.push(right === undefined ? left : mesh.spawn((x: number, y: number) => x + y, left, right))
      }
      level = next
    }
    expect(await level[0]).toBe(1_000)
  })

  test('one source for 32 dependants, and 64 diamonds', async () => {
    const mesh = await meshOf(2)
    const source = mesh.spawn(add1, 1)
    const fan = Array.from({ length: 32 }, (_, index) =>
      mesh.spawn((x: number, y: number) => x + y, source, index),
    )
    expect(await mesh.all(fan)).toEqual(Array.from({ length: 32 }, (_, index) => index + 2))
    const diamonds = Array.from({ length: 64 }, (_, index) => {
      const top = mesh.spawn((x: number) => x, index)
      const left = mesh.spawn((x: number) => 2 * x, top)
      const right = mesh.spawn(add1, top)
      return mesh.spawn((x: number, y: number) => x + y, left, right)
    })
    expect(await mesh.all(diamonds)).toEqual(Array.from({ length: 64 }, (_, index) => 3 * index + 1))
  })
})

describe('close()', () => {
  test('rejects what waits, refuses what comes, and may be called again', async () => {
    const mesh = await ownMesh(1)
    const shut = gate()
    const task = mesh.spawn(held<number>, shut.name, 1)
    const group = mesh.map(add1, [task])
    await shut.whenStarted(1)
    await Promise.all([mesh.close(), mesh.close()])
    await expect(task.fetch()).rejects.toBeInstanceOf(CancelledError)
    await expect(task.fetch()).rejects.toMatchObject({ code: 'E_CLOSED' })
    await expect(group.fetch()).rejects.toMatchObject({ code: 'E_CLOSED' })
    expect(() => mesh.spawn(add1, 1)).toThrow(expect.objectContaining({ code: 'E_CLOSED' }))
    await mesh.close()
  })

  test('leaves at the end of a block', async () => {
    let inner: Mesh | null = null
    {
      await using mesh = await localMesh({ workers: 1 })
      inner = mesh
      expect(await mesh.spawn(add1, 1)).toBe(2)
    }
    expect(() => inner?.spawn(add1, 1)).toThrow(expect.objectContaining({ code: 'E_CLOSED' }))
  })
})

describe('localMesh()', () => {
  test.each([[{ workers: -1 }], [{ workers: 1.5 }], [{ workers: 1_000 }], [{ name: '' }], [{ worker: 2 }]])(
    'refuses %j',
    async (options) => {
      await expect(localMesh(options as never)).rejects.toMatchObject({ code: 'E_OPTION' })
    },
  )

  test('ends with the reason of its signal', async () => {
    await expect(localMesh({ signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
  })

  test('says what it is', async () => {
    const mesh = await ownMesh(2)
    await mesh.spawn(add1, 1)
    expect(mesh.role).toBe('member')
    expect(mesh.processors.map(({ kind, peer }) => ({ kind, peer }))).toEqual([
      { kind: 'worker', peer: mesh.self },
      { kind: 'worker', peer: mesh.self },
    ])
    expect(mesh.health()).toEqual({
      isOnline: true,
      peers: 1,
      members: 1,
      processors: 2,
      durability: 'memory',
      reasons: [],
    })
    expect(mesh.peers).toMatchObject([
      { id: mesh.self, name: 'here', isSelf: true, role: 'member', tasksDone: 1 },
    ])
  })
})
