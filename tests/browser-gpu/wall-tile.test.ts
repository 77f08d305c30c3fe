import { kernel, localMesh, scope } from '@shoal/sdk'
import { expect, test } from 'vitest'
import {
  argumentsOf,
  drawShades,
  type TileArguments,
  type TileOutputs,
  tileOf,
  tilesOf,
  wholeView,
} from '../../apps/demo/src/fractal.ts'
import { outputs, wgsl } from '../../apps/demo/src/tile-kernel.ts'

test('a GPU draws the tiles of the wall as workers do, but for single pixels', async () => {
  await using mesh = await localMesh({ workers: 1 })
  const draw = kernel<TileArguments, TileOutputs>({ wgsl, outputs, fallback: drawShades })
  await expect.poll(() => mesh.processors.length, { timeout: 20_000 }).toBe(2)
  for (const spec of tilesOf({ ...wholeView, iterations: 200 }).filter((_, index) => index % 40 === 0)) {
    const args = argumentsOf(spec)
    const drawn = tileOf(await mesh.with({ scope: scope.kind('webgpu') }).spawn(draw, args), 'p/webgpu/0')
    const expected = tileOf(drawShades(args), 'p/worker/0')
    expect(drawn.spec).toEqual(spec)
    const different = drawn.shades.filter((shade, at) => shade !== expected.shades[at]).length
    expect(different / drawn.shades.length).toBeLessThan(0.05)
  }
})
