import {
  type Chunk,
  type Mesh,
  type Service,
  ServiceRestartedError,
  type ShoalError,
  withContext,
} from '@shoal/sdk'
import { describe, expect, test } from 'vitest'
import { isGoodForServices, runServiceChaos, type ServiceFault } from '../chaos/services.ts'
import { useRoom } from './support/test-room.ts'

// Services between peers in processes of their own, and in pages, over WebRTC.

const { member, node, contributorInvite } = useRoom()

/** Resolves when `mesh` sees all these. */
function whenSeen(mesh: Mesh, ids: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!ids.every((id) => mesh.peers.some((peer) => peer.id === id))) return
      leave()
      resolve()
    }
    const leave = mesh.on('peers-changed', look)
    look()
  })
}

class Counter {
  n: number
  constructor(n: number) {
    this.n = n
  }
  add(k: number): number {
    this.n += k
    return this.n
  }
}

describe('a service on another peer', () => {
  test('three callers: answers are 1 to 300, each caller sees its own rise', async () => {
    const far = await node('host')
    const callers = await Promise.all([member('a'), member('b'), member('c')])
    const [first] = callers as [Mesh, Mesh, Mesh]
    await whenSeen(first, [far.id, ...callers.map(({ self }) => self)])
    const moved: unknown[] = []
    first.on('service-moved', (event) => moved.push(event.host))
    const made = await first.service(Counter, [0], { name: 'counter', peer: far.id })
    expect(made.$.host).toBe(far.id)
    expect(moved.at(-1)).toBe(far.id)
    const handles = await Promise.all(callers.map((mesh) => mesh.services.lookup<Counter>('counter')))
    expect(handles[0]).toBe(made)
    const answers = await Promise.all(
      handles.map((handle) => Promise.all(Array.from({ length: 100 }, () => handle.add(1)))),
    )
    for (const own of answers) expect(own).toEqual(own.toSorted((a, b) => a - b))
    expect(answers.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
    await expect((handles[1] as unknown as { nothing(): PromiseLike<void> }).nothing()).rejects.toMatchObject(
      { code: 'E_NO_METHOD' },
    )
  })

  test('two peers register one name at once: one wins everywhere', async () => {
    const [left, right] = await Promise.all([member('left'), member('right')])
    await Promise.all([whenSeen(left, [right.self]), whenSeen(right, [left.self])])
    const made = await Promise.allSettled([
      left.service(Counter, [10], { name: 'same' }),
      right.service(Counter, [20], { name: 'same' }),
    ])
    const won = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const lost = made.flatMap((one) => (one.status === 'rejected' ? [one.reason as ShoalError] : []))
    expect(lost).toMatchObject([{ code: 'E_NAME_TAKEN' }])
    const [winner] = won as [Service<Counter>]
    const found = await Promise.all([left, right].map((mesh) => mesh.services.lookup<Counter>('same')))
    expect(found.map((handle) => handle.$.id)).toEqual([winner.$.id, winner.$.id])
    const from = made[0].status === 'fulfilled' ? 10 : 20
    expect(await (found[0] as Service<Counter>).add(1)).toBe(from + 1)
    expect(await (found[1] as Service<Counter>).add(1)).toBe(from + 2)
    await winner.$.delete()
    await expect((found[1] as Service<Counter>).add(1)).rejects.toMatchObject({ code: 'E_SERVICE_DELETED' })
    const again = await right.service(Counter, [30], { name: 'same' })
    expect(await again.add(1)).toBe(31)
  })

  test('a handle works where it was passed to: in a task on another peer', async () => {
    const lender = await node('lender', 1)
    const mesh = await member('submitter')
    await whenSeen(mesh, [lender.id])
    const counter = await mesh.service(Counter, [0])
    const task = mesh.with({ peer: lender.id }).spawn(async (handle: Service<Counter>) => {
      await handle.add(1)
      return (await handle.add(1)) * 100
    }, counter)
    expect(await task).toBe(200)
  })

  test('a handle works in the body of a task on a peer that only lends processors', async () => {
    const lender = await node('guest', 1, contributorInvite())
    const mesh = await member('submitter')
    await whenSeen(mesh, [lender.id])
    const counter = await mesh.service(Counter, [0])
    const guest = mesh.with({ peer: lender.id })
    const add = async (handle: Service<Counter>): Promise<number> => {
      await handle.add(1)
      return handle.add(1)
    }
    expect(await guest.spawn(add, counter)).toBe(2)
    const boxed = await guest.spawn(
      async (box: { handle: Service<Counter> }) => [await box.handle.add(1), box],
      {
        handle: counter,
      },
    )
    expect(boxed).toEqual([3, { handle: counter }])
  })

  test('[SV13] a contributor is told at once that it knows no names', async () => {
    const guest = await member('guest', 0, contributorInvite())
    await expect(guest.services.lookup('it')).rejects.toMatchObject({
      code: 'E_NO_SERVICE',
      message: expect.stringContaining('only members know names'),
    })
  })

  test('[SV13] is found by its name as soon as who made it says so', async () => {
    const [maker, finder] = await Promise.all([member('maker'), member('finder')])
    await Promise.all([whenSeen(maker, [finder.self]), whenSeen(finder, [maker.self])])
    for (let no = 0; no < 10; no++) {
      const made = await maker.service(Counter, [no], { name: `counter ${no}` })
      // Without the patience of a peer that has just joined.
      const found = await finder.services.lookup<Counter>(`counter ${no}`, { timeoutMs: 2_000 })
      expect(found.$.id).toBe(made.$.id)
      expect(await found.add(1)).toBe(no + 1)
    }
  })

  test.each(['snapshot', 'journal'] as const)(
    '[SV11] a new host that is killed as soon as the move is told loses no answered call: %s',
    async (durability) => {
      const [far, mesh, other] = await Promise.all([node('host'), member('first'), member('other')])
      await whenSeen(mesh, [far.id, other.self])
      await whenSeen(other, [far.id, mesh.self])
      class Large {
        n = 0
        bytes = new Uint8Array(8 * 2 ** 20)
        add(k: number): number {
          this.n += k
          return this.n
        }
      }
      const large = await mesh.service(Large, [], { durability })
      expect([await large.add(1), await large.add(1)]).toEqual([1, 2])
      await large.$.migrate(far.id)
      await far.kill()
      expect(await large.add(1)).toBe(3)
    },
  )

  test.each(['snapshot', 'journal'] as const)(
    '[SV3] a host that stood still and comes back is no host any more: %s',
    async (durability) => {
      const [far, mesh, other] = await Promise.all([node('host', 1), member('caller'), member('other')])
      await whenSeen(mesh, [far.id, other.self])
      await whenSeen(other, [far.id, mesh.self])
      const counter = await mesh.service(Counter, [0], {
        durability,
        name: `back, ${durability}`,
        peer: far.id,
      })
      const elsewhere = await other.services.lookup<Counter>(`back, ${durability}`)
      const onOldHost = (): PromiseLike<number> =>
        mesh
          .with({ peer: far.id })
          .spawn(async (handle: Service<Counter>) => (await handle.add(1)) + (await handle.add(1)), counter)
      expect([await counter.add(1), await elsewhere.add(1), await onOldHost()]).toEqual([1, 2, 7])
      const { epoch } = counter.$
      far.pause()
      // On their way when the host stands still; some stay in its mailbox.
      const under = await Promise.all([counter.add(1), counter.add(1), elsewhere.add(1), elsewhere.add(1)])
      expect(under.toSorted((a, b) => a - b)).toEqual([5, 6, 7, 8])
      expect([counter.$.host, counter.$.epoch]).not.toEqual([far.id, epoch])
      const { host } = counter.$
      far.resume()
      expect(await onOldHost()).toBe(9 + 10)
      expect([await counter.add(1), await elsewhere.add(1)]).toEqual([11, 12])
      expect([counter.$.host, elsewhere.$.host]).toEqual([host, host])
      expect(host).not.toBe(far.id)
    },
  )

  test('[SC8] [SV10] its methods read chunks of others, keep handles of services, and spawn', async () => {
    const [mesh, far] = await Promise.all([member('caller'), member('host', 1)])
    await Promise.all([whenSeen(mesh, [far.self]), whenSeen(far, [mesh.self])])
    class Works {
      other: { hop(left: number): PromiseLike<number> } | null = null
      kept: unknown = null
      async read(chunk: Chunk<Uint8Array>): Promise<number> {
        return (await chunk.get()).length
      }
      hold(value: unknown): void {
        this.kept = value
      }
      keep(other: unknown): void {
        this.other = other as never
      }
      async hop(left: number): Promise<number> {
        return left === 0 || this.other === null ? 0 : this.other.hop(left - 1)
      }
      twice = withContext(async (ctx, k: number) => ctx.mesh.spawn((x: number) => x * 2, k))
    }
    const [x, y] = [await mesh.service(Works, [], { peer: far.self }), await mesh.service(Works, [])]
    expect(await x.read(await mesh.put(new Uint8Array(300_000)))).toBe(300_000)
    expect([await x.twice(4), await y.twice(5)]).toEqual([8, 10])
    await Promise.all([x.keep(y), y.keep(x)])
    expect(await x.hop(1)).toBe(0)
    await expect(x.hop(2).fetch()).rejects.toMatchObject({ code: 'E_WOULD_DEADLOCK' })
    using chunk = await mesh.put(1)
    for (const bad of [chunk, { inner: chunk }, [mesh.spawn(() => 1)]]) {
      await expect(x.hold(bad).fetch()).rejects.toMatchObject({
        code: 'E_NOT_SERIALIZABLE',
        message: expect.stringMatching(/state of the service.* is the handle of a (chunk|task)$/),
      })
    }
    // What it kept has moved with it.
    await x.$.migrate(mesh.self)
    expect(await x.hop(1)).toBe(0)
  })

  test('without durability it begins again, and calls under way say so', async () => {
    const [mesh, far] = await Promise.all([member('caller'), member('host')])
    await whenSeen(mesh, [far.self])
    class Sleeper {
      n = 0
      add(): number {
        this.n += 1
        return this.n
      }
      sleep(): Promise<void> {
        return new Promise(() => {})
      }
    }
    await far.service(Sleeper, [], { name: 'sleeper', durability: 'none' })
    const sleeper = await mesh.services.lookup<Sleeper>('sleeper')
    expect(sleeper.$.host).toBe(far.self)
    expect([await sleeper.add(), await sleeper.add()]).toEqual([1, 2])
    const asleep = sleeper.sleep().fetch()
    const settled = asleep.catch((error: unknown) => error)
    await far.close()
    expect(await settled).toBeInstanceOf(ServiceRestartedError)
    expect(await sleeper.add()).toBe(1)
    expect(sleeper.$.host).toBe(mesh.self)
    expect(sleeper.$.epoch).toBeGreaterThan(1)
  })
})

test('hosts that are killed or leave, and pages that are closed, crash, reload or leave, lose no call and run none twice', {
  timeout: 400_000,
}, async () => {
  const lines: string[] = []
  const faults: ServiceFault[] = [
    'kill',
    'page-close',
    'leave',
    'page-crash',
    'kill',
    'page-reload',
    'page-leave',
  ]
  const report = await runServiceChaos({ faults, log: (line) => lines.push(line) })
  expect(isGoodForServices(report), [...report.broken, ...report.failed, ...lines].join('\n')).toBe(true)
  expect(report.recoveries).toHaveLength(faults.length * 2)
  expect(report.calls).toBeGreaterThan(500)
})
