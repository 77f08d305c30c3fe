import { kernel, localMesh, SchedulingError } from '@shoal/sdk'
import { expect, test } from 'vitest'

// A browser that offers no adapter: a normal state.

const wgsl = `@group(0) @binding(0) var<storage> a: array<f32>;
  @group(0) @binding(1) var<storage, read_write> out: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { out[id.x] = 2 * a[id.x]; }`

test('[GP5] without an adapter kernels with a fallback run on workers, others say why not', async () => {
  await using mesh = await localMesh({ workers: 1, gpu: true })
  await expect.poll(() => mesh.health().reasons.join()).toContain('no GPU to lend: ')
  expect(mesh.processors.map(({ kind }) => kind)).toEqual(['worker'])
  const double = kernel({
    wgsl,
    outputs: ['out'],
    fallback: ({ a }: { a: Float32Array }) => ({ out: a.map((x) => 2 * x) }),
  })
  expect(await mesh.spawn(double, { a: Float32Array.of(1, 2) })).toEqual({ out: Float32Array.of(2, 4) })
  const failure = await mesh
    .spawn(kernel({ wgsl, outputs: ['out'] }), { a: Float32Array.of(1) })
    .fetch()
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SchedulingError)
  expect(failure).toMatchObject({ code: 'E_NO_PROCESSOR' })
  expect((failure as SchedulingError).message).toContain('kinds in the room are worker')
})
