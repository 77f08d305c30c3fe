import { describe, expect, test } from 'vitest'
import { kernel } from './kernel.ts'
import { closeFields, openFields } from './kernel-arguments.ts'
import { operation } from './operation.ts'

const wgsl = `
  /* var<storage> commented: array<f32>; */
  struct Size { width: u32 }
  @group(0) @binding(0) var<storage> image: array<f32>;
  @group(0) @binding(1) var<uniform> size : Size;
  @group(0) @binding(2) var<storage, read_write>out: array<f32>;
  @compute @workgroup_size(64) fn main() { out[0] = image[0] * f32(size.width); }`
const { record } = kernel({ wgsl, outputs: { out: ['size.width', 'rows'] } })

/** Stands for tasks and chunks. */
class Handle {}
const isHandle = (value: unknown): boolean => value instanceof Handle
const image = Float32Array.of(1)
const size = { width: 2 }
const good = { image, size, rows: 1 }

describe('the argument of a kernel', () => {
  test('[GP3] travels as it is when nothing in it has to be waited for', () => {
    const args = [good]
    expect(openFields(record, args, isHandle)).toBe(args)
    expect(closeFields(args)).toBe(args)
    const later = [new Handle()]
    expect(openFields(record, later, isHandle)).toBe(later)
  })

  test('[GP7] what has to be waited for becomes an argument of its own, and finds its place again', () => {
    const [one, two] = [new Handle(), new Handle()]
    const open = openFields(record, [{ image: one, size, rows: two }], isHandle)
    expect(open).toEqual([{ size }, ['image', 'rows'], one, two])
    expect(closeFields([{ size }, ['image', 'rows'], image, 1])).toEqual([good])
  })

  test.each([
    [[], 'its argument must be one object: current value is 0 arguments'],
    [[good, 1], 'its argument must be one object: current value is 2 arguments'],
    [[undefined], 'its argument must be an object: current value is undefined'],
    [[image], 'its argument must be an object: current value is a Float32Array of 1'],
    [[[1]], 'its argument must be an object: current value is a list of 1'],
    [[{ ...good, commented: 1 }], 'an object of image, size, out, rows: current value is an object with'],
    [[{ ...good, rows: Number.NaN }], '"rows" must be a whole number from 1: current value is NaN'],
    [[{ ...good, rows: 0 }], '"rows" must be a whole number from 1: current value is 0'],
    [[{ ...good, size: { width: '2' } }], '"size.width" must be a whole number from 1'],
    [[{ image, rows: 1 }], '"size.width" must be a whole number from 1: current value is undefined'],
  ])('[GP3] %j is refused before it is sent', (args, message) => {
    const open = (): unknown => openFields(record, args, isHandle)
    expect(open).toThrow(expect.objectContaining({ code: 'E_KERNEL_ARGUMENT' }) as Error)
    expect(open).toThrow(message)
  })

  test('[GP3] sizes that are to come are looked at where they are', () => {
    const waiting = [{ image, size: new Handle(), rows: 1 }]
    expect(openFields(record, waiting, isHandle)).toHaveLength(3)
  })

  test.each([[[1, 2]], [[{}, 'image', 1]], [[{}, ['image'], 1, 2]], [[[], ['image'], 1]]])(
    '[GP7] %j from a stranger is refused',
    (args) => {
      const close = (): unknown => closeFields(args)
      expect(close).toThrow(expect.objectContaining({ code: 'E_KERNEL_ARGUMENT' }) as Error)
    },
  )

  test('other operations keep their arguments', () => {
    const args = [{ any: new Handle() }, 2]
    expect(openFields(operation('f', () => 1).record, args, isHandle)).toBe(args)
  })

  test('[GP3] of a shader that declares nothing is for its compiler to judge', () => {
    const broken = kernel({ wgsl: 'fn main( {', outputs: ['out'] }).record
    expect(openFields(broken, [{ image }], isHandle)).toEqual([{ image }])
  })
})
