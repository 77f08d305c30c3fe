import { localMesh, type Mesh, operation, TaskFailedError, withContext } from '@shoal/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'

// The browser build of the SDK, on real module workers.

let mesh: Mesh
beforeAll(async () => {
  mesh = await localMesh({ workers: 2 })
})
afterAll(() => mesh.close())

const add = operation('add', (x: number, y: number) => x + y)

test('[A1] tasks as arguments become their values', async () => {
  const p = mesh.spawn(add, 4, 1)
  expect(await mesh.spawn(add, p, mesh.spawn(add, p, 6))).toBe(16)
})

test('map() gives 2,000 values in order, and typed arrays as they are', async () => {
  const items = Array.from({ length: 2_000 }, (_, index) => index)
  expect(await mesh.map((x: number) => x * 2, items)).toEqual(items.map((x) => x * 2))
  const tile = await mesh.spawn((n: number) => new Uint8Array(n).fill(3), 70_000)
  expect([tile.constructor, tile.byteLength, tile[69_999]]).toEqual([Uint8Array, 70_000, 3])
})

test('[A2] bodies spawn, and wait without holding their worker', async () => {
  const fib = withContext(async function fib(ctx, n: number): Promise<number> {
    if (n < 2) return n
    const [left, right] = [ctx.mesh.spawn(fib, n - 1), ctx.mesh.spawn(fib, n - 2)]
    return (await left) + (await right)
  })
  expect(await mesh.spawn(fib, 10)).toBe(55)
})

test('[A3] errors keep what they are', async () => {
  const failure = await mesh
    .spawn(() => {
      throw new RangeError('too far')
    })
    .fetch()
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(TaskFailedError)
  expect((failure as TaskFailedError).cause).toMatchObject({ name: 'RangeError', message: 'too far' })
})

test('a body that never ends is stopped, and its worker comes back', async () => {
  const endless = mesh.with({ timeoutMs: 100 }).spawn(() => {
    for (;;);
  })
  await expect(endless.fetch()).rejects.toMatchObject({ code: 'E_TASK_TIMEOUT' })
  expect(await mesh.map((x: number) => x, [1, 2, 3])).toEqual([1, 2, 3])
})

test('says what this browser is', () => {
  expect(mesh.peers[0]?.name).toMatch(/Chrome|Firefox|Safari|Edge/)
  expect(mesh.processors).toHaveLength(2)
})
