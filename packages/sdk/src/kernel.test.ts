import type { ShoalError } from '@shoal/scheduler'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { type KernelSpec, kernelOf } from './code/index.ts'
import { type KernelDefinition, kernel } from './kernel.ts'
import { operation } from './operation.ts'
import { workgroupSizeOf } from './processors/webgpu/workgroup-size.ts'
import type { Mesh } from './types.ts'

const wgsl = `@group(0) @binding(0) var<storage, read_write> out: array<f32>; // \u2028 " */
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { out[id.x] = 1; }`

type Doubled = { out: Float32Array }
const double = kernel<{ a: Float32Array }, Doubled>({
  wgsl,
  outputs: ['out'],
  fallback: ({ a }) => ({ out: a.map((x) => 2 * x) }),
})

describe('a kernel', () => {
  test('[GP1] travels as text, and a GPU reads what it needs without running any of it', async () => {
    expect(kernelOf(double.record)).toEqual({
      wgsl,
      entry: null,
      outputs: [['out', null]],
      workgroups: null,
      threads: null,
      constants: {},
    } satisfies KernelSpec)
    const url = `data:text/javascript;base64,${Buffer.from(double.record.source).toString('base64')}`
    const module: { default(args: { a: Float32Array }): Doubled } = await import(url)
    expect(module.default({ a: Float32Array.of(1, 2) })).toEqual({ out: Float32Array.of(2, 4) })
  })

  test('[GP1] has another address when anything of it differs', () => {
    const hashOf = (more: object): string =>
      kernel({ wgsl, outputs: ['out'], ...more } as KernelDefinition<object, Doubled>).record.hash
    const variants = [{}, { entry: 'main' }, { threads: 4 }, { outputs: { out: 4 } }, { wgsl: `${wgsl} ` }]
    expect(new Set(variants.map(hashOf)).size).toBe(variants.length)
    expect(hashOf({ name: 'other' })).toBe(hashOf({}))
  })

  test('what is no kernel is none, and neither is a damaged one', () => {
    const { record } = operation('f', () => 1)
    expect(kernelOf(record)).toBeNull()
    const broken = ['{', '[]', '{"wgsl":1}', 'null', '{"wgsl":"","entry":null,"outputs":[]}']
    const texts = broken.map((json) => `export default 1\n//# shoal-kernel=${json}\n`)
    expect(texts.map((source) => kernelOf({ ...record, source }))).toEqual(broken.map(() => null))
  })

  test.each([
    [{ wgsl: '' }, 'wgsl'],
    [{ wgsl: 7 }, 'wgsl'],
    [{ entry: '' }, 'entry'],
    [{ outputs: [] }, 'outputs'],
    [{ outputs: undefined }, 'outputs'],
    [{ outputs: ['a', 'a'] }, 'outputs'],
    [{ outputs: { a: -1 } }, 'outputs.a'],
    [{ outputs: { a: 'not a name' } }, 'outputs.a'],
    [{ workgroups: [1, 2, 3, 4] }, 'workgroups'],
    [{ workgroups: () => [1] }, 'workgroups'],
    [{ workgroups: 1, threads: 1 }, 'threads'],
    [{ threads: 0.5 }, 'threads'],
    [{ constants: { K: 'x' } }, 'constants'],
  ])('[GP1] %j is refused and named', (more, option) => {
    const define = (): unknown => kernel({ wgsl, outputs: ['out'], ...more } as never)
    expect(define).toThrow(expect.objectContaining({ code: 'E_OPTION' }) as ShoalError)
    expect(define).toThrow(`"${option}"`)
  })

  test('a fallback that cannot travel is refused where the kernel is made', () => {
    expect(() => kernel({ wgsl, outputs: ['out'], fallback: Math.max as never })).toThrow(
      expect.objectContaining({ code: 'E_CODE' }) as ShoalError,
    )
  })

  test('types flow from the kernel to its value', () => {
    const use = async (mesh: Mesh): Promise<void> => {
      expectTypeOf(await mesh.spawn(double, { a: new Float32Array(1) })).toEqualTypeOf<Doubled>()
      // @ts-expect-error: `a` is missing
      mesh.spawn(double, { b: new Float32Array(1) })
      const loose = kernel({ wgsl, outputs: ['out'] })
      const value = await mesh.spawn(loose, { whatever: 1 })
      expectTypeOf(value['out']).not.toBeNever()
      const inferred = kernel({
        wgsl,
        outputs: ['out'],
        fallback: ({ a }: { a: Float32Array }) => ({ out: a }),
      })
      expectTypeOf((await mesh.spawn(inferred, { a: new Float32Array(1) })).out).toEqualTypeOf<Float32Array>()
    }
    expect(use).toBeTypeOf('function')
  })
})

describe('workgroupSizeOf()', () => {
  test.each([
    ['@compute @workgroup_size(64) fn main() {}', [64, 1, 1]],
    ['@workgroup_size(8u, 4i, 0x2) @compute\nfn main () {}', [8, 4, 2]],
    ['const W = 16; @compute @workgroup_size(W, W,) fn main() {}', [16, 16, 1]],
    ['override W: u32 = 4; @compute @workgroup_size(W) fn main() {}', [4, 1, 1]],
    ['override K: u32; @compute @workgroup_size(K) fn main() {}', [32, 1, 1]],
    [
      '@compute @workgroup_size(2) fn other() {} /* @workgroup_size(3) */ @compute @workgroup_size(4) fn main() {}',
      [4, 1, 1],
    ],
    ['@compute @workgroup_size(2 * 4) fn main() {}', null],
    ['fn main() {}', null],
  ])('%s', (text, size) => {
    expect(workgroupSizeOf(text, 'main', { K: 32 })).toEqual(size)
  })
})
