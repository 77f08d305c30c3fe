import { CancelledError, type Mesh, operation, TaskFailedError, withContext } from '@shoal/sdk'
import { describe, expect, test } from 'vitest'
import { useRoom } from './support/test-room.ts'

// Peers in processes of their own, over WebRTC, with nothing between them but the signalling server.

const { member, node: lender, contributorInvite } = useRoom()

/** Resolves when `mesh` sees that many processors. */
function whenProcessors(mesh: Mesh, count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (mesh.processors.length !== count) return
      leave()
      resolve()
    }
    const leave = mesh.on('peers-changed', look)
    look()
  })
}

const add = operation('add', (x: number, y: number) => x + y)
/** Some milliseconds of work that nothing can optimise away. */
const grind = operation('grind', (seed: number) => {
  let x = seed | 1
  for (let i = 0; i < 3_000_000; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
  }
  return x
})

function grindHere(seed: number): number {
  let x = seed | 1
  for (let i = 0; i < 3_000_000; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
  }
  return x
}

describe('two peers in two processes', () => {
  test('[RG1] tasks in a row cross as slices: each has its own value, error, cancel and dependents', async () => {
    const mesh = await member('submitter')
    await lender('lender', 2)
    const picky = operation('picky', (n: number) => {
      if (n === 700) throw new RangeError('not 700')
      return n === 800 ? new Uint8Array(100_000).fill(1) : { n }
    })
    const tasks = Array.from({ length: 2000 }, (_, n) => mesh.spawn(picky, n))
    tasks[1999]?.cancel('enough')
    const sum = mesh.spawn(add, mesh.spawn(add, 1, 2), 4)
    const ends = await Promise.allSettled(tasks)
    expect(ends.map((end) => end.status === 'fulfilled').filter((isWell) => !isWell)).toHaveLength(2)
    expect(ends[700]).toMatchObject({ reason: { message: expect.stringContaining('not 700') } })
    expect(ends[1999]).toMatchObject({ reason: expect.any(CancelledError) })
    expect(ends[800]).toEqual({ status: 'fulfilled', value: new Uint8Array(100_000).fill(1) })
    expect(ends[1234]).toEqual({ status: 'fulfilled', value: { n: 1234 } })
    expect(await sum).toBe(7)
    expect(await mesh.map((x: number) => x + 0.5, new Float64Array(3000))).toEqual(new Array(3000).fill(0.5))
    expect(await mesh.map((text: string) => text.length, ['a', '', 'abc'])).toEqual([1, 0, 3])
  }, 30_000)

  test('values, dependencies, errors and nested tasks cross', async () => {
    const mesh = await member('submitter')
    const peer = await lender('lender', 1)
    const p = mesh.spawn(add, 1, 2)
    expect(await mesh.spawn(add, p, mesh.spawn(add, 3, 4))).toBe(10)
    expect(await mesh.map((x: number) => x * x, [1, 2, 3, p])).toEqual([1, 4, 9, 9])
    const big = await mesh.spawn((n: number) => new Float64Array(n).fill(7), 100_000)
    expect([big.constructor, big.length, big[99_999]]).toEqual([Float64Array, 100_000, 7])

    const failing = mesh.spawn(() => {
      class QuotaError extends Error {
        override name = 'QuotaError'
        left = 3
      }
      throw new QuotaError('none left')
    })
    const failure = await mesh.spawn(add, failing, 1).then(
      () => expect.unreachable('it did not fail'),
      (reason: unknown) => reason as TaskFailedError,
    )
    expect(failure).toBeInstanceOf(TaskFailedError)
    expect(failure).toMatchObject({ originTaskId: failing.id, peerId: peer.id, attempts: 1 })
    expect(failure.cause).toMatchObject({ name: 'QuotaError', message: 'none left', left: 3 })
    expect(failure.message).toContain('on peer "lender"')

    const unsent = mesh.spawn(
      (x: unknown) => x,
      () => 1,
    )
    expect(unsent.isReady()).toBe(true)
    await expect(unsent.fetch()).rejects.toMatchObject({ code: 'E_NOT_SERIALIZABLE' })

    const fib = withContext(async function fib(ctx, n: number): Promise<number> {
      if (n < 2) return n
      const [left, right] = [ctx.mesh.spawn(fib, n - 1), ctx.mesh.spawn(fib, n - 2)]
      return (await left) + (await right)
    })
    expect(await mesh.spawn(fib, 8)).toBe(21)
    const boxed = await mesh.spawn(withContext((ctx) => ({ task: ctx.mesh.spawn(() => 'inner') })))
    expect(await boxed.task).toBe('inner')
    expect(mesh.peers.find(({ id }) => id === peer.id)).toMatchObject({ name: 'lender', role: 'member' })
  })

  test('a contributor lends and must not submit', async () => {
    const mesh = await member('submitter')
    const peer = await lender('guest', 1, contributorInvite())
    let where: string | null = null
    for await (const done of mesh.map(add.with({ peer: peer.id }) as never, [1])) where = done.peer
    expect(where).toBe(peer.id)
    const guest = await member('second guest', 0, contributorInvite())
    expect(guest.role).toBe('contributor')
    expect(() => guest.spawn(add, 1, 2)).toThrow(expect.objectContaining({ code: 'E_FORBIDDEN' }))
  })

  test('a peer killed in the middle costs time, no result', async () => {
    const mesh = await member('submitter')
    const [doomed] = await Promise.all([lender('doomed', 1), lender('survivor', 1)])
    await whenProcessors(mesh, 2)
    const items = Array.from({ length: 120 }, (_, index) => index)
    const group = mesh.map(grind, items)
    const left = new Promise<string>((resolve) => mesh.on('peer-left', ({ id }) => resolve(id)))
    let ended = 0
    for await (const member of group) {
      expect(member.status).toBe('done')
      if (++ended === 30) await doomed.kill()
    }
    expect(await group).toEqual(items.map(grindHere))
    expect(await left).toBe(doomed.id)
  })

  test('[RC7] a peer that leaves ends what it runs and hands back the rest: nothing runs twice', async () => {
    const submitter = await member('submitter', 1)
    const leaver = await member('leaver', 1)
    await Promise.all([whenProcessors(submitter, 2), whenProcessors(leaver, 2)])
    const items = Array.from({ length: 100 }, (_, index) => index)
    const nap = (x: number) => new Promise<number>((resolve) => setTimeout(resolve, 15, x))
    const group = submitter.map(nap, items)
    let byLeaver = 0
    for await (const { peer } of group) if (peer === leaver.self && ++byLeaver === 5) void leaver.close()
    expect(await group).toEqual(items)
    const stories = items.map((index) => submitter.explain(`${group.jobId}/${index}`).join('\n'))
    expect(stories.filter((story) => /lost|gone|unknown there/.test(story))).toEqual([])
  })

  test('a job goes on when its submitter leaves, and another member sees it end', async () => {
    const submitter = await member('submitter')
    const watcher = await member('watcher')
    await lender('lender', 1)
    await Promise.all([whenProcessors(submitter, 1), whenProcessors(watcher, 1)])
    const items = Array.from({ length: 80 }, (_, index) => index)
    const group = submitter.map(grind, items)
    const failed = group.fetch().catch((reason: unknown) => reason)
    const seen = watcher.group<number>(group.jobId)
    let ended = 0
    for await (const member of seen) {
      expect(member.status).toBe('done')
      if (++ended === 20) await submitter.close()
    }
    expect(await seen).toEqual(items.map(grindHere))
    expect(await failed).toBeInstanceOf(CancelledError)
    const job = watcher.jobs().find(({ id }) => id === group.jobId)
    expect(job).toMatchObject({ isEnded: true, done: 80, total: 80 })
    expect(job?.epoch).toBeGreaterThan(1)
    expect(job?.owner).not.toBe(submitter.self)
  })
})
