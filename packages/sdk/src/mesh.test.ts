import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import {
  type GroupProgress,
  localMesh,
  type Mesh,
  operation,
  scope,
  type TaskOptions,
  withContext,
} from './node.ts'
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

async function ownMesh(workers: number, defaults: TaskOptions = {}): Promise<Mesh> {
  const mesh = await localMesh({ workers, name: 'here', defaults })
  open.push(mesh)
  return mesh
}

function gate(): Gate {
  const made = createGate()
  open.push(made)
  return made
}

const noop = operation('noop', (x: number) => x)
const odd = operation('odd', (x: number) => {
  if (x % 2 === 0) throw new RangeError(`even ${x}`)
  return x
})

describe('tasks spawned in one turn', () => {
  const add = operation('add', (x: number, y: number) => x + y)

  test('[RG1] share records, but no outcome', async () => {
    const mesh = await meshOf(2)
    await mesh.spawn(noop, 0)
    const singles = Array.from({ length: 500 }, (_, x) => mesh.spawn(noop, x))
    const pairs = Array.from({ length: 100 }, (_, x) => mesh.spawn(add, x, 1))
    const odds = Array.from({ length: 20 }, (_, x) => mesh.spawn(odd, x))
    const sum = mesh.spawn(add, singles[400] ?? 0, pairs[50] ?? 0)
    expect(await Promise.all(singles)).toEqual(singles.map((_, x) => x))
    expect(await Promise.all(pairs)).toEqual(pairs.map((_, x) => x + 1))
    expect(await sum).toBe(451)
    const ends = await Promise.allSettled(odds)
    expect(ends.map(({ status }) => status === 'fulfilled')).toEqual(odds.map((_, x) => x % 2 === 1))
    expect(new Set([...singles, ...pairs, ...odds].map(({ id }) => id)).size).toBe(620)
  })

  test('[RG5] are cancelled one by one', async () => {
    const mesh = await meshOf(1)
    const tasks = Array.from({ length: 300 }, (_, x) => mesh.spawn(noop, x))
    tasks[200]?.cancel('not this one')
    const ends = await Promise.allSettled(tasks)
    expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(1)
    expect(ends[200]).toMatchObject({ status: 'rejected', reason: { reason: 'not this one' } })
  })
})

describe('map()', () => {
  test('gives 10,000 values in order, as one job', async () => {
    const mesh = await meshOf(2)
    const items = Array.from({ length: 10_000 }, (_, index) => index)
    const group = mesh.map(noop, items)
    expect(await group).toEqual(items)
    expect(group.progress).toEqual({ done: 10_000, total: 10_000, failed: 0 })
  })

  test('of nothing is done at once', async () => {
    const mesh = await meshOf(0)
    const group = mesh.map(noop, [])
    expect(await group).toEqual([])
    await group.wait()
    for await (const _ of group) expect.unreachable('it has no members')
  })

  test('iterating gives each member once, as it ends, whoever else iterates', async () => {
    const mesh = await meshOf(2)
    const shut = gate()
    const group = mesh.map((x: number | Promise<number>) => x, [mesh.spawn(held<number>, shut.name, 7), 1, 2])
    const seen: number[] = []
    for await (const member of group) {
      seen.push(member.index)
      expect(member).toMatchObject({ status: 'done', value: member.index === 0 ? 7 : member.index })
      expect(member.peer).toBe(mesh.self)
      if (seen.length === 2) shut.open()
    }
    expect(seen.toSorted()).toEqual([0, 1, 2])
    expect(seen[2]).toBe(0)
    const again: number[] = []
    for await (const { index } of group) again.push(index)
    expect(again).toEqual(seen)
  })

  test('a failure rejects the whole and marks its member; the others go on', async () => {
    const mesh = await meshOf(2)
    const group = mesh.map(odd, [1, 2, 3])
    await expect(group.fetch()).rejects.toMatchObject({ code: 'E_TASK_FAILED', cause: { message: 'even 2' } })
    await group.wait()
    expect(group.progress).toEqual({ done: 2, total: 3, failed: 1 })
    const states: string[] = []
    for await (const member of group) states[member.index] = member.status
    expect(states).toEqual(['done', 'failed', 'done'])
  })

  test('a member that cannot travel is one failed member', async () => {
    const mesh = await meshOf(1)
    const group = mesh.map((x: unknown) => typeof x, ['a', () => 1, 2])
    const seen: unknown[] = []
    for await (const member of group)
      seen[member.index] = member.status === 'done' ? member.value : (member.error as { code?: string }).code
    expect(seen).toEqual(['string', 'E_NOT_SERIALIZABLE', 'number'])
  })

  test('cancel() ends what is left', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const group = mesh.map(
      (name: string) =>
        new Promise<string>((resolve) => {
          const channel = new BroadcastChannel(name)
          channel.onmessage = () => resolve('opened')
          channel.postMessage('one')
        }),
      Array<string>(5).fill(shut.name),
    )
    await shut.whenStarted(1)
    group.cancel('enough')
    await group.wait()
    expect(group.progress).toEqual({ done: 0, total: 5, failed: 5 })
    await expect(group.fetch()).rejects.toMatchObject({ code: 'E_CANCELLED', reason: 'enough' })
  })

  test('[RG1] takes and gives numbers, objects, handles and promises alike', async () => {
    const mesh = await meshOf(2)
    const floats = mesh.map((x: number) => x / 2, new Float64Array([1, 2, 3]))
    expect(await floats).toEqual([0.5, 1, 1.5])
    const mixed = mesh.map(
      (x: number) => (x === 1 ? { at: new Date(x) } : x === 2 ? Promise.resolve('two') : x),
      [0, 1, 2],
    )
    expect(await mixed).toEqual([0, { at: new Date(1) }, 'two'])
    class Point {
      x = 1
    }
    const packed = mesh.map((x: number) => (x === 1 ? new Error('a value') : x), [0, 1, 2])
    expect((await packed)[1]).toMatchObject({ message: 'a value' })
    expect(await mesh.map((p: { x: number }) => p.x, [new Point(), { x: 2 }])).toEqual([1, 2])
  })

  test('[RG1] does not see what happens to the items after the call', async () => {
    const mesh = await meshOf(1)
    const items = [1, 2, 3]
    const group = mesh.map(noop, items)
    items.fill(0)
    expect(await group).toEqual([1, 2, 3])
  })

  test('[RG3] values that only looked plain fail alone, and so do items', async () => {
    const mesh = await meshOf(1)
    const bad = new Proxy({}, {})
    const given = mesh.map((x: unknown) => typeof x, [1, bad, 3])
    await given.wait()
    expect(given.progress).toMatchObject({ total: 3, done: 2 + Number(given.progress.failed === 0) })
    const made = mesh.map((x: number) => (x === 2 ? Object.assign(() => {}, { x }) : x) as number, [1, 2, 3])
    await made.wait()
    expect(made.progress).toEqual({ done: 2, total: 3, failed: 1 })
  })

  test('[RG3] long items do not keep the rest of their slice', async () => {
    const mesh = await meshOf(2)
    await mesh.map(
      noop,
      Array.from({ length: 1_000 }, (_, index) => index),
    )
    const started = mesh.map(
      noop,
      Array.from({ length: 400 }, (_, index) => index),
    )
    const slow = mesh.map(
      (ms: number) => {
        const until = Date.now() + ms
        while (Date.now() < until) {}
        return ms
      },
      [0, 0, 0, 0, ...Array<number>(40).fill(3)],
    )
    await started
    expect(await slow).toHaveLength(44)
  })

  test('[RG5] one item can be cancelled by its id', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const group = mesh.map(held as (name: string) => Promise<unknown>, Array<string>(5).fill(shut.name))
    mesh.task(`${group.jobId}/3`).cancel('not this one')
    await shut.whenStarted(1)
    shut.open()
    await group.wait()
    expect(group.progress).toEqual({ done: 4, total: 5, failed: 1 })
  })

  test('tells its progress until it is complete', async () => {
    const mesh = await meshOf(2)
    const seen: GroupProgress[] = []
    const group = mesh.map(noop, [1, 2, 3, 4])
    group.on('progress', (progress) => seen.push(progress))
    await group
    expect(seen.at(-1)).toEqual({ done: 4, total: 4, failed: 0 })
  })
})

describe('collectors', () => {
  test('all() keeps order and types, any() gives the first value', async () => {
    const mesh = await meshOf(2)
    expect(await mesh.all([mesh.spawn(noop, 1), 'plain', mesh.spawn(() => 'two')])).toEqual([
      1,
      'plain',
      'two',
    ])
    expect(await mesh.any([mesh.spawn(odd, 2), mesh.spawn(odd, 3)])).toBe(3)
    await expect(mesh.any([mesh.spawn(odd, 2)])).rejects.toBeInstanceOf(AggregateError)
  })

  test('asCompleted() gives the first to end first', async () => {
    const mesh = await meshOf(2)
    const shut = gate()
    const slow = mesh.spawn(held<number>, shut.name, 1)
    const seen: number[] = []
    for await (const member of mesh.asCompleted([slow, mesh.spawn(noop, 2), mesh.spawn(odd, 4)])) {
      seen.push(member.index)
      if (seen.length === 2) shut.open()
      expect(member.status).toBe(member.index === 2 ? 'failed' : 'done')
    }
    expect(seen.toSorted()).toEqual([0, 1, 2])
    expect(seen[2]).toBe(0)
    for await (const _ of mesh.asCompleted([])) expect.unreachable('it has no members')
  })

  test('sync() waits for everything that was spawned inside', async () => {
    const mesh = await meshOf(2)
    const inside: { isReady(): boolean }[] = []
    const value = await mesh.sync((m) => {
      inside.push(m.spawn(noop, 1), m.with({ priority: 1 }).spawn(noop, 2))
      m.map(noop, [1, 2])
      return 'value'
    })
    expect(value).toBe('value')
    expect(inside.map((task) => task.isReady())).toEqual([true, true])
  })

  test('sync() rejects with a failure of its tasks once all have ended', async () => {
    const mesh = await meshOf(2)
    const tasks: { isReady(): boolean }[] = []
    const region = mesh.sync((m) => {
      tasks.push(m.spawn(odd, 2), m.spawn(noop, 1))
    })
    await expect(region).rejects.toMatchObject({ cause: { message: 'even 2' } })
    expect(tasks.map((task) => task.isReady())).toEqual([true, true])
    await expect(mesh.sync(() => Promise.reject(new Error('body')))).rejects.toThrow('body')
  })
})

describe('options', () => {
  test('call site wins over with(), over the mesh, over the operation', async () => {
    const failing = operation(
      'failing',
      () => {
        throw new Error('no')
      },
      { retry: { max: 4 } },
    )
    const attempts = async (mesh: Mesh, body = failing): Promise<number> => {
      const error = await mesh
        .spawn(body)
        .fetch()
        .catch((reason: unknown) => reason)
      return (error as { attempts: number }).attempts
    }
    const plain = await meshOf(1)
    expect(await attempts(plain)).toBe(5)
    const mesh = await ownMesh(1, { retry: { max: 3 } })
    expect(await attempts(mesh)).toBe(4)
    const view = mesh.with({ retry: { max: 2 } })
    expect(await attempts(view)).toBe(3)
    expect(await attempts(view.with({ retry: { max: 0 } }))).toBe(1)
    expect(await attempts(view.with({ priority: 1 }))).toBe(3)
    expect(await attempts(view, failing.with({ retry: { max: 1 } }))).toBe(2)
    expect(await attempts(mesh)).toBe(4)
  })

  test('with() reaches the tasks that a body spawns', async () => {
    const mesh = await meshOf(1)
    const body = withContext(async (ctx) => {
      const child = ctx.mesh.spawn(() => {
        throw new Error('no')
      })
      const failure = await child.fetch().catch((error: unknown) => error)
      return (failure as { attempts: number }).attempts
    })
    expect(await mesh.spawn(body)).toBe(1)
    expect(await mesh.with({ retry: { max: 2 } }).spawn(body)).toBe(3)
  })

  test('timeoutMs stops a body that never ends', async () => {
    const mesh = await meshOf(1)
    const task = mesh.with({ timeoutMs: 50, name: 'endless' }).spawn(() => {
      for (;;);
    })
    await expect(task.fetch()).rejects.toMatchObject({ code: 'E_TASK_TIMEOUT', taskId: task.id })
    expect(await mesh.spawn(noop, 1)).toBe(1)
  })

  test('a higher priority runs first', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const first = mesh.spawn(held<string>, shut.name, 'first')
    await shut.whenStarted(1)
    // More than one worker is given ahead of time, so that the order among the rest is the queue's.
    const low = Array.from({ length: 300 }, () =>
      mesh.with({ priority: -1 }).spawn(held<string>, shut.name, 'low'),
    )
    const high = mesh.with({ priority: 5 }).spawn(held<string>, shut.name, 'high')
    shut.open()
    await mesh.all([first, high, ...low])
    expect(shut.started.indexOf('high')).toBeLessThan(shut.started.lastIndexOf('low'))
  })

  test('a scope narrows where a task may run', async () => {
    const mesh = await meshOf(1)
    const task = mesh
      .with({ scope: scope.intersect(scope.kind('worker'), scope.peer(mesh.self)) })
      .spawn(noop, 3)
    expect(await task).toBe(3)
  })

  test('a signal cancels tasks and groups, and refuses those that come later', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const controller = new AbortController()
    const view = mesh.with({ signal: controller.signal })
    const task = view.spawn(held<number>, shut.name, 1)
    const group = view.map(noop, [task])
    const done = view.spawn(noop, 2)
    await shut.whenStarted(1)
    controller.abort(new Error('left the page'))
    await expect(task.fetch()).rejects.toMatchObject({ code: 'E_CANCELLED', reason: 'left the page' })
    await group.wait()
    await done.wait()
    const late = view.spawn(noop, 3)
    expect(late.isReady()).toBe(true)
    await expect(late.fetch()).rejects.toMatchObject({ code: 'E_CANCELLED', reason: 'left the page' })
    await expect(view.map(noop, [1]).fetch()).rejects.toMatchObject({ code: 'E_CANCELLED' })
    expect(await mesh.spawn(noop, 4)).toBe(4)
  })

  test('unknown options are refused at the call', async () => {
    const mesh = await meshOf(0)
    const refusal = expect.objectContaining({ code: 'E_OPTION' })
    expect(() => mesh.with({ retries: 1 } as never)).toThrow(refusal)
    expect(() => mesh.map(noop, [1], { batch: 5 } as never)).toThrow(refusal)
    expect(() => noop.with({ timeoutMs: -5 })).toThrow(refusal)
    expect(() => operation('', (x: number) => x)).toThrow(refusal)
    expect(() => operation('x', (x: number) => x, { after: [] })).toThrow(refusal)
  })
})

describe('handles by id', () => {
  test('task() finds a task while its job is known', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const task = mesh.spawn(held<string>, shut.name, 'value')
    const same = mesh.task<string>(task.id)
    expect(same.id).toBe(task.id)
    shut.open()
    expect(await same).toBe('value')
    expect(await mesh.task(task.id)).toBe('value')
    expect(() => mesh.task('no id')).toThrow(expect.objectContaining({ code: 'E_TASK_ID' }))
  })

  test('group() follows a job that somebody else submitted', async () => {
    const mesh = await meshOf(1)
    const shut = gate()
    const group = mesh.map((x: number) => x + 1, [1, mesh.spawn(held<number>, shut.name, 2)])
    await shut.whenStarted(1)
    const job = mesh.jobs().find(({ id }) => id === group.jobId)
    expect(job).toMatchObject({ total: 2, isMine: true, isEnded: false })
    const followed = mesh.group<number>(group.jobId)
    shut.open()
    expect(await followed).toEqual([2, 3])
  })
})

describe('a job that has ended is forgotten', () => {
  test('[RC4] who holds a handle keeps its result, also one that is a chunk', async () => {
    const mesh = await ownMesh(1)
    const small = mesh.spawn((x: number) => x + 1, 1)
    const big = mesh.spawn((length: number) => new Uint8Array(length).fill(7), 100_000)
    const group = mesh.map((x: number) => x + 1, [1, 2])
    await Promise.all([small.wait(), big.wait(), group.wait()])
    await vi.waitFor(() => expect(mesh.jobs()).toEqual([]), 5_000)
    expect(await small).toBe(2)
    expect(await group).toEqual([2, 3])
    const bytes = await big
    expect([bytes.length, bytes[0], bytes.at(-1)]).toEqual([100_000, 7, 7])
  })

  test('[RC4] who asks for it later is told', async () => {
    const mesh = await ownMesh(1)
    const group = mesh.map((x: number) => x + 1, [1, 2])
    await group
    await vi.waitFor(() => expect(mesh.jobs()).toEqual([]))
    const late = mesh.task(`${group.jobId}/1`)
    await expect(late).rejects.toMatchObject({ code: 'E_NO_TASK', taskId: `${group.jobId}/1` })
    const followed = mesh.group(group.jobId)
    await expect(followed).rejects.toMatchObject({ code: 'E_NO_TASK' })
    await followed.wait()
    expect(followed.progress).toEqual({ done: 0, total: 1, failed: 1 })
  })
})

describe('events', () => {
  test('tell what happens to jobs and tasks until one leaves', async () => {
    const mesh = await ownMesh(1)
    const seen: string[] = []
    const leave = mesh.on('task-done', ({ task }) => seen.push(task))
    const ended = new Promise<string>((resolve) => {
      mesh.on('job-ended', (job) => resolve(job.id))
    })
    const group = mesh.map(noop, [1, 2])
    await group
    expect(seen.toSorted()).toEqual([`${group.jobId}/0`, `${group.jobId}/1`])
    expect(await ended).toBe(group.jobId)
    leave()
    await mesh.spawn(noop, 1)
    expect(seen).toHaveLength(2)
  })

  test('a session without work ends its job', async () => {
    const mesh = await ownMesh(1)
    const ended = new Promise<string>((resolve) => {
      mesh.on('job-ended', (job) => resolve(job.id))
    })
    const task = mesh.spawn(noop, 1)
    expect(await task).toBe(1)
    expect(task.id.startsWith(`${await ended}/`)).toBe(true)
    // Nothing of an ended job stays behind, and the next task opens another.
    await vi.waitFor(() => expect(mesh.jobs()).toEqual([]))
    expect(await task).toBe(1)
    expect(await mesh.spawn(noop, 2)).toBe(2)
  })

  test('say when no processor is there for a task', async () => {
    const mesh = await ownMesh(0)
    const starved = new Promise((resolve) => mesh.on('starved', resolve))
    const task = mesh.spawn(noop, 1)
    expect(await starved).toMatchObject({ scope: 'default', waiting: 1 })
    expect(task.status).toBe('ready')
    await mesh.lend(1)
    expect(await task).toBe(1)
    expect(mesh.workers).toBe(1)
    await expect(mesh.lend(-1)).rejects.toMatchObject({ code: 'E_OPTION' })
  })

  test('explain() tells a task’s history', async () => {
    const mesh = await meshOf(1)
    const task = mesh.spawn(odd, 2)
    await task.wait()
    expect(mesh.explain(task).length).toBeGreaterThan(0)
    expect(mesh.explain(task.id)).toEqual(task.explain())
  })
})
