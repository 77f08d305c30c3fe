import { kernel, localMesh, type Mesh, scope, withContext } from '@shoal/sdk'
import { afterEach, expect, test } from 'vitest'

// A page with (software) WebGPU.

let mesh: Mesh
afterEach(() => mesh.close())

async function open(workers: number): Promise<void> {
  mesh = await localMesh({ workers })
  await expect.poll(() => kinds(), { timeout: 20_000 }).toContain('webgpu')
}

function kinds(): string[] {
  return mesh.processors.map(({ kind }) => kind)
}

const square = kernel<{ a: Float32Array }, { out: Float32Array }>({
  wgsl: `@group(0) @binding(0) var<storage> a: array<f32>;
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&out)) { out[id.x] = a[id.x] * a[id.x]; }
    }`,
  outputs: ['out'],
})

test('[GP2] kernels run on the GPU of the page, other work on its workers', async () => {
  await open(1)
  const a = Float32Array.from({ length: 100_000 }, (_, index) => index % 100)
  const { out } = await mesh.spawn(square, { a })
  expect([out.constructor, out.length, out[99]]).toEqual([Float32Array, 100_000, 9_801])
  const values = await mesh.map(square, [{ a: a.slice(0, 3) }, { a: a.slice(3, 5) }])
  expect(values).toEqual([{ out: Float32Array.of(0, 1, 4) }, { out: Float32Array.of(9, 16) }])
  expect(await mesh.spawn((x: number) => x + 1, 41)).toBe(42)
})

test('[GP2] what is no kernel runs on workers in any scope with more than GPUs', async () => {
  await open(1)
  const where = withContext((ctx) => ctx.processor)
  const wide = [scope.any(), scope.peer(mesh.self), scope.union(scope.kind('webgpu'), scope.kind('worker'))]
  for (const one of wide) expect(await mesh.with({ scope: one }).spawn(where)).toBe(`${mesh.self}/worker/0`)
  const gpus = mesh.with({ scope: scope.kind('webgpu') })
  expect(() => gpus.spawn(where)).toThrow(/GPUs, which run kernels only: current value is "kind\(webgpu\)"/)
  expect(() => mesh.with({ scope: scope.kind('worker') }).spawn(square, { a: Float32Array.of(1) })).toThrow(
    /a kernel without "fallback" runs nowhere else/,
  )
  expect(await gpus.spawn(square, { a: Float32Array.of(2) })).toEqual({ out: Float32Array.of(4) })
})

test('[GP3] a wrong argument fails its task, which says so', async () => {
  await open(1)
  const bad = mesh.spawn(square, { a: [1] as unknown as Float32Array })
  await expect(bad.fetch()).rejects.toMatchObject({ code: 'E_KERNEL_ARGUMENT' })
})

test('[GP2] the value of a task becomes the argument of a kernel', async () => {
  await open(1)
  const made = mesh.spawn((n: number) => ({ a: new Float32Array(n).fill(3) }), 4)
  expect(await mesh.spawn(square, made)).toEqual({ out: new Float32Array(4).fill(9) })
})

test('with consent only: the GPU comes and goes with the workers', async () => {
  mesh = await localMesh({ workers: 0 })
  expect(kinds()).toEqual([])
  await mesh.lend(1)
  await expect.poll(() => kinds(), { timeout: 20_000 }).toContain('webgpu')
  await mesh.lend(0)
  await expect.poll(() => kinds()).toEqual([])
})
