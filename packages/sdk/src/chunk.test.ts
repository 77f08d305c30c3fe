import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Chunk, localMesh, type Mesh, withContext } from './node.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await localMesh({ workers: 2, name: 'here' })
})
afterAll(() => mesh.close())

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0)

test('[CH7] a chunk is put once, read again, and filled in as an argument', async () => {
  const values = Float64Array.from({ length: 20_000 }, (_, index) => index)
  const chunk = await mesh.put(values)
  expect(chunk.home).toBe(mesh.self)
  expect(chunk.sizeBytes).toBeGreaterThan(values.byteLength)
  expect(await chunk.get()).toEqual(values)
  expect(await mesh.spawn(sum, chunk)).toBe(sum(values))
  expect(await mesh.map((table: Float64Array) => table.length, [chunk, chunk])).toEqual([20_000, 20_000])
  chunk.release()
})

test('[CH7] inside a value a chunk is a handle, which the body reads and may pass on', async () => {
  const chunk = await mesh.put('inside')
  const body = withContext(async (ctx, given: { chunk: Chunk<string> }) => {
    const own = await given.chunk.get()
    const child = await ctx.mesh.spawn((text: string) => `${text} a child`, given.chunk)
    return { own, child, chunk: given.chunk }
  })
  const { own, child, chunk: back } = await mesh.spawn(body, { chunk })
  expect([own, child]).toEqual(['inside', 'inside a child'])
  expect(await back.get()).toBe('inside')
  back.release()
  chunk.release()
})

test('[CH13] what lies inside a put value is kept as long as the value, and goes with it', async () => {
  const before = mesh.metrics().chunks.heldBytes
  const innermost = await mesh.put('innermost')
  const inner = await mesh.put({ innermost })
  const outer = await mesh.put([inner])
  innermost.release()
  inner.release()
  const [found] = (await outer.get()) as [typeof inner]
  const { innermost: deep } = await found.get()
  expect(await deep.get()).toBe('innermost')
  deep.release()
  found.release()
  const length = withContext(
    async (_, given: Chunk<string>[]) => (await (given[0] as Chunk<string>).get()).length,
  )
  const text = await mesh.put('text')
  const texts = await mesh.put([text])
  text.release()
  expect(await mesh.spawn(length, texts)).toBe(4)
  texts.release()
  outer.release()
  await expect.poll(() => mesh.metrics().chunks.heldBytes).toBe(before)
})

test('[CH13] a chunk inside a result is kept as long as the task may be asked for it', async () => {
  const chunk = await mesh.put('inside')
  const task = mesh.spawn((given: { chunk: Chunk<string> }) => ({ chunk: given.chunk }), { chunk })
  await task.wait()
  chunk.release()
  const { chunk: found } = await task
  expect(await found.get()).toBe('inside')
})

test('[CH8] a released handle says so, and the others go on', async () => {
  using chunk = await mesh.put([1, 2])
  const task = mesh.spawn((list: number[]) => list.length, chunk)
  chunk.release()
  chunk.release()
  expect(await task).toBe(2)
  await expect(chunk.get()).rejects.toMatchObject({ code: 'E_CHUNK_REF' })
  expect(() => mesh.spawn((list: number[]) => list.length, chunk)).toThrow(/released/)
  expect(() => mesh.spawn((given: object) => given, { chunk })).toThrow(/released/)
  expect(() => mesh.map((given: object) => given, [{ chunk }])).toThrow(/released/)
  await expect(mesh.put({ chunk })).rejects.toMatchObject({ code: 'E_CHUNK_REF' })
})

test('[CH7] a task gives its result as a chunk, and its failure as its own', async () => {
  const chunk = await mesh.spawn((n: number) => new Uint8Array(n), 100_000).chunk()
  expect((await chunk.get()).length).toBe(100_000)
  chunk.release()
  const failing = mesh.spawn(() => {
    throw new Error('no')
  })
  await expect(failing.chunk()).rejects.toMatchObject({ code: 'E_TASK_FAILED' })
})

test('a chunk of another mesh, and one of a closed mesh, are refused', async () => {
  const other = await localMesh({ workers: 1 })
  const chunk = await other.put('theirs')
  expect(() => mesh.spawn((text: string) => text, chunk)).toThrow(/must belong to the same room/)
  await other.close()
  await expect(other.put(1)).rejects.toMatchObject({ code: 'E_CLOSED' })
  await expect(chunk.get()).rejects.toMatchObject({ code: 'E_CLOSED' })
})
