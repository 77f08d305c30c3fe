import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Chunk, kernel, localMesh, type Mesh, operation, scope, withContext } from './node.ts'

// Bodies that use the mesh, on one worker: whoever waits has to give its place away.

let mesh: Mesh
beforeAll(async () => {
  mesh = await localMesh({ workers: 1, gpu: false })
})
afterAll(() => mesh.close())

const scaled = kernel<{ image: Float32Array; by: number }, { out: Float32Array }>({
  wgsl: `@group(0) @binding(0) var<storage> image: array<f32>;
    @group(0) @binding(1) var<uniform> by: f32;
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { out[id.x] = image[id.x] * by; }`,
  outputs: ['out'],
  fallback: ({ image, by }) => ({ out: image.map((x) => x * by) }),
})
const image = Float32Array.of(1, 2)

describe('a body', () => {
  test('[TS10] recursion 8 deep ends on one worker, whatever each level waits for', async () => {
    const down = withContext(async function down(ctx, n: number): Promise<number> {
      if (n === 0) return 1
      const [deep] = await ctx.mesh.map(down, [n - 1])
      const put = await ctx.mesh.put(n)
      const read = await ctx.mesh.spawn((value: number) => value, put)
      const group = ctx.mesh.map((x: number) => x, [read, 0])
      for await (const one of group) if (one.status !== 'done') throw one.error
      return (deep as number) + (await put.get()) - n + 1
    })
    expect(await mesh.spawn(down, 8)).toBe(9)
  })

  test('[TS11] spawns a kernel that came as an argument, with tasks and chunks among its bindings', async () => {
    const body = withContext(async (ctx, blur: typeof scaled, given: Float32Array) => {
      const chunk = await ctx.mesh.put(given)
      const by = ctx.mesh.spawn(() => 3)
      const once = await ctx.mesh.spawn(blur, { image: chunk, by })
      const [twice] = await ctx.mesh.map(blur, [{ image: once.out, by }])
      return [once.out, twice?.out]
    })
    expect(await mesh.spawn(body, scaled, image)).toEqual([Float32Array.of(3, 6), Float32Array.of(9, 18)])
    expect(await mesh.with({ peer: mesh.self }).spawn(body, scaled, image)).toHaveLength(2)
  })

  test('[GP3] a wrong argument fails its task alone, and so does one that turns out wrong later', async () => {
    const body = withContext(async (ctx, blur: typeof scaled) => {
      const early = ctx.mesh.spawn(blur, { image: 7, wrong: 1 } as never)
      const inside = { task: ctx.mesh.spawn(() => 1), bad: () => 2 }
      const late = ctx.mesh.spawn((x: unknown) => typeof x, inside)
      const codes: unknown[] = []
      for (const task of [early, late])
        await task.fetch().catch((error: unknown) => codes.push((error as { code: string }).code))
      return { codes, status: [early.status, late.status], good: await ctx.mesh.spawn(() => 'good') }
    })
    expect(await mesh.spawn(body, scaled)).toEqual({
      codes: ['E_KERNEL_ARGUMENT', 'E_NOT_SERIALIZABLE'],
      status: ['failed', 'failed'],
      good: 'good',
    })
  })

  test('[CH12] puts a value, and gives the handle back', async () => {
    const body = withContext(async (ctx, n: number) => {
      const table = await ctx.mesh.put(new Float64Array(n).fill(2))
      const sum = ctx.mesh.spawn((list: Float64Array) => list.reduce((total, x) => total + x, 0), table)
      return { table, sum: await sum, home: table.home }
    })
    const { table, sum, home } = await mesh.spawn(body, 1_000)
    expect([sum, home]).toEqual([2_000, mesh.self])
    expect((await (table as Chunk<Float64Array>).get()).length).toBe(1_000)
    table.release()
    const bad = withContext((ctx) => ctx.mesh.put(() => 1))
    await expect(mesh.spawn(bad).fetch()).rejects.toMatchObject({ code: 'E_NOT_SERIALIZABLE' })
  })

  test('follows a group: in order, as they end, its progress, cancelled', async () => {
    const body = withContext(async (ctx) => {
      const odd = ctx.mesh.map(
        (x: number) => {
          if (x % 2 === 0) throw new RangeError(`even ${x}`)
          return x * 10
        },
        [1, 2, 3],
      )
      const seen: unknown[] = []
      for await (const one of odd) seen[one.index] = one.status === 'done' ? one.value : one.error.message
      const first = await odd.fetch().catch((error: unknown) => (error as Error).message)
      const never = ctx.mesh.map(() => new Promise<number>(() => {}), [1, 2])
      never.cancel('enough')
      await never.wait()
      const none = ctx.mesh.map((x: number) => x, [])
      return { seen, first, progress: [odd.progress, never.progress], none: await none }
    })
    const { seen, first, progress, none } = await mesh.spawn(body)
    expect([seen[0], seen[2]]).toEqual([10, 30])
    expect(seen[1]).toContain('even 2')
    expect(first).toContain('even 2')
    expect(progress).toEqual([
      { done: 2, total: 3, failed: 1 },
      { done: 0, total: 2, failed: 2 },
    ])
    expect(none).toEqual([])
  })

  test('[TS11] asks for options through a view, or by the operation', async () => {
    const failing = operation('failing', (): number => {
      throw new Error('no')
    })
    const body = withContext(async (ctx, op: typeof failing) => {
      const attempts = async (task: PromiseLike<number>): Promise<number> => {
        try {
          return await task
        } catch (error) {
          return (error as { attempts: number }).attempts
        }
      }
      const view = ctx.mesh.with({ retry: { max: 2 } })
      return [await attempts(ctx.mesh.spawn(op)), await attempts(view.spawn(op))]
    })
    expect(await mesh.spawn(body, failing)).toEqual([1, 3])
    expect(await mesh.spawn(body, failing.with({ retry: { max: 1 } }))).toEqual([2, 2])
    const bad = withContext((ctx) => void ctx.mesh.with({ after: [] } as never))
    await expect(mesh.spawn(bad).fetch()).rejects.toMatchObject({ code: 'E_OPTION' })
    const away = withContext((ctx, there: ReturnType<typeof scope.any>) =>
      ctx.mesh.with({ scope: there }).spawn(() => 1),
    )
    expect(await mesh.spawn(away, scope.kind('worker'))).toBe(1)
  })
})
