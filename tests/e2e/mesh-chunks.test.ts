import { fileURLToPath } from 'node:url'
import { type Chunk, kernel, type Mesh, operation, scope } from '@shoal/sdk'
import { afterEach, expect, test } from 'vitest'
import { type Program, startNode, typescript } from '../support/program.ts'
import type { NodePeer } from './support/node-peer.ts'
import { useRoom } from './support/test-room.ts'

// Chunks as users have them, between processes over WebRTC.

const { member, memberInvite, node } = useRoom()

async function lenders(mesh: Mesh, count: number): Promise<NodePeer[]> {
  const started = await Promise.all(Array.from({ length: count }, (_, index) => node(`lender ${index}`, 1)))
  await expect.poll(() => mesh.processors.length, { timeout: 20_000 }).toBe(count)
  return started
}

const mib = 2 ** 20
const filled = operation('filled', (bytes: number, value: number) => new Uint8Array(bytes).fill(value))
const measure = operation('measure', (bytes: Uint8Array) => [bytes.length, bytes[bytes.length - 1]])
const grind = operation('grind', (bytes: Uint8Array, seed: number) => {
  let x = seed | 1
  for (let i = 0; i < 30_000_000; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
  }
  return [bytes.length, x === 0 ? 1 : 0]
})

/** Bytes of chunks that came to a mesh of this process. */
function movedIn(mesh: Mesh): number {
  return mesh.metrics().chunks.movedInBytes
}

test('[PL1] a task runs where its 64 MiB chunk is, and the bytes never pass the submitter', async () => {
  const mesh = await member('submitter')
  const [first] = (await lenders(mesh, 2)) as [NodePeer, NodePeer]
  const made = mesh.spawn(filled.with({ scope: scope.peer(first.id) }), 64 * mib, 7)
  const tasks = Array.from({ length: 3 }, () => mesh.spawn(measure, made))
  expect(await mesh.all(tasks)).toEqual(tasks.map(() => [64 * mib, 7]))
  for (const task of tasks) expect(task.explain().join('\n')).toContain(`placed on ${first.id}`)
  expect(movedIn(mesh)).toBe(0)
  const chunk = await made.chunk()
  expect(chunk.home).toBe(first.id)
  chunk.release()
}, 120_000)

test('[GP7][PL1] a kernel runs where the chunk among its bindings is, on a worker as well', async () => {
  const mesh = await member('submitter')
  const [first, second] = (await lenders(mesh, 2)) as [NodePeer, NodePeer]
  const scaled = kernel<{ image: Uint32Array; by: number }, { out: Uint32Array }>({
    wgsl: `@group(0) @binding(0) var<storage> image: array<u32>;
      @group(0) @binding(1) var<uniform> by: u32;
      @group(0) @binding(2) var<storage, read_write> out: array<u32>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
        out[id.x] = image[id.x] * by;
      }`,
    outputs: { out: [1] },
    fallback: ({ image, by }) => ({ out: Uint32Array.of((image.at(-1) as number) * by) }),
  })
  const on = (peer: NodePeer) => scope.peer(peer.id)
  const ones = operation('ones', (length: number) => new Uint32Array(length).fill(6))
  const seven = operation('seven', () => 7)
  // Made here and there: the few bytes travel, the many stay.
  const image = mesh.spawn(ones.with({ scope: on(second) }), 4 * mib)
  const by = mesh.spawn(seven.with({ scope: on(first) }))
  const tasks = Array.from({ length: 3 }, () => mesh.spawn(scaled, { image, by }))
  expect(await mesh.all(tasks)).toEqual(tasks.map(() => ({ out: Uint32Array.of(42) })))
  for (const task of tasks) expect(task.explain().join('\n')).toContain(`placed on ${second.id}`)
  expect(movedIn(mesh)).toBe(0)
}, 120_000)

test('[CH7] a result goes from its holder to its consumer, not through the submitter', async () => {
  const mesh = await member('submitter')
  const [first, second] = (await lenders(mesh, 2)) as [NodePeer, NodePeer]
  const made = mesh.spawn(filled.with({ scope: scope.peer(first.id) }), mib, 3)
  expect(await mesh.spawn(measure.with({ scope: scope.peer(second.id) }), made)).toEqual([mib, 3])
  expect(movedIn(mesh)).toBe(0)
  // Asked for here it comes here.
  expect((await made).length).toBe(mib)
  expect(movedIn(mesh)).toBeGreaterThan(mib)
}, 60_000)

test('[PL1] 16 equal tasks on 4 idle peers use all 4, whoever has their chunk', async () => {
  const mesh = await member('submitter')
  const all = await lenders(mesh, 4)
  const table = await mesh.put(new Uint8Array(mib))
  const used = new Set<string | null>()
  for await (const one of mesh.asCompleted(
    Array.from({ length: 16 }, (_, seed) => mesh.spawn(grind, table, seed)),
  )) {
    expect(one).toMatchObject({ status: 'done', value: [mib, 0] })
    used.add(one.peer)
  }
  expect([...used].sort()).toEqual(all.map(({ id }) => id).sort())
  table.release()
}, 120_000)

test('[CH6] an argument over 64 KiB stays with the submitter until it is fetched, and goes when it was used', async () => {
  const mesh = await member('submitter')
  await lenders(mesh, 1)
  expect(await mesh.spawn(measure, new Uint8Array(mib).fill(9))).toEqual([mib, 9])
  expect(mesh.metrics().chunks.movedOutBytes).toBeGreaterThan(mib)
  await expect.poll(() => mesh.metrics().chunks.heldBytes, { timeout: 10_000 }).toBe(0)
}, 60_000)

test('[CH10] a chunk whose only holder is killed is made again by its task', async () => {
  const mesh = await member('submitter')
  const [first, second] = (await lenders(mesh, 2)) as [NodePeer, NodePeer]
  const base = mesh.spawn(
    filled.with({ scope: scope.union(scope.peer(first.id), scope.peer(second.id)) }),
    mib,
    5,
  )
  const doubled = mesh.spawn((bytes: Uint8Array) => bytes.map((byte) => byte * 2), base)
  const chunk = await doubled.chunk()
  const holder = chunk.home === first.id ? first : second
  await holder.kill()
  expect((await chunk.get())[mib - 1]).toBe(10)
  chunk.release()
}, 60_000)

test('[CH8] a handle that another member got from a result keeps the chunk after its maker let go', async () => {
  const mesh = await member('submitter')
  const putter = await member('submitter')
  await lenders(mesh, 1)
  const chunk = await putter.put(new Uint8Array(mib))
  const handed = putter.spawn((inside: object) => inside, { chunk })
  await expect.poll(() => mesh.jobs().length, { timeout: 10_000 }).toBeGreaterThan(0)
  const { chunk: got } = (await mesh.task(handed.id)) as { chunk: typeof chunk }
  expect((await got.get()).length).toBe(mib)
  chunk.release()
  expect((await got.get()).length).toBe(mib)
  got.release()
  // The result may still be asked for, and what lies inside is kept as long as that (CH13).
  const { chunk: again } = (await mesh.task(handed.id)) as { chunk: typeof chunk }
  expect((await again.get()).length).toBe(mib)
}, 60_000)

const readInside = operation(
  'read inside',
  async (given: { chunk: Chunk<Uint8Array> }) => (await given.chunk.get()).length,
)

test('[CH13] what lies inside a value or a result is kept as long as that, also when it is read elsewhere', async () => {
  const mesh = await member('submitter')
  await lenders(mesh, 1)
  const chunk = await mesh.put(new Uint8Array(mib))
  const outer = await mesh.put({ chunk })
  const small = mesh.spawn((given: object) => given, { chunk })
  const large = mesh.spawn((given: object) => ({ ...given, pad: new Uint8Array(100_000) }), { chunk })
  await small.wait()
  await large.wait()
  const control = await mesh.put(new Uint8Array(3 * mib))
  chunk.release()
  control.release()
  await expect.poll(() => mesh.metrics().chunks.heldBytes).toBeLessThan(3 * mib)
  expect(await mesh.spawn(readInside, outer)).toBe(mib)
  for (const task of [small, large])
    expect((await ((await task) as { chunk: typeof chunk }).chunk.get()).length).toBe(mib)
  expect(await mesh.spawn(readInside, large as never)).toBe(mib)
  expect(await mesh.spawn(readInside, small as never)).toBe(mib)
  outer.release()
}, 60_000)

test('[CH8][A6] a handle is handed over with its task: its giver lets go at once, and a consumer is killed before it read', async () => {
  const mesh = await member('submitter')
  const [first, second] = (await lenders(mesh, 2)) as [NodePeer, NodePeer]
  const either = scope.union(scope.peer(first.id), scope.peer(second.id))
  const chunk = await mesh.put(new Uint8Array(mib))
  const late = mesh.with({ scope: either }).spawn(
    async (given: { chunk: Chunk<Uint8Array> }) => {
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      return (await given.chunk.get()).length
    },
    { chunk },
  )
  chunk.release()
  await expect.poll(() => late.explain().join('\n'), { timeout: 10_000 }).toContain('placed on')
  const taker = late.explain().join('\n').includes(`placed on ${first.id}`) ? first : second
  await taker.kill()
  expect(await late).toBe(mib)
  await expect.poll(() => mesh.metrics().chunks.heldBytes, { timeout: 10_000 }).toBe(0)
}, 60_000)

/** A process that put a chunk and handed it on, and has tasks that wait with arguments of 1 MiB. */
async function startPutter() {
  const program = startNode([putterScript, memberInvite()], {}, typescript)
  putters.push(program)
  const ids = JSON.parse(await program.line(/"handed"/)) as {
    readonly handed: string
    readonly waiting: string[]
  }
  return { ...ids, stop: program.stop }
}

const putters: Program[] = []
const putterScript = fileURLToPath(new URL('../fixtures/putter.ts', import.meta.url))
afterEach(async () => {
  await Promise.all(putters.splice(0).map((program) => program.stop('SIGKILL')))
})

test('[CH14] a peer that leaves hands on what others need and only it has', async () => {
  const mesh = await member('stays')
  await lenders(mesh, 1)
  const putter = await startPutter()
  const { chunk } = (await mesh.task(putter.handed)) as { chunk: Chunk<Uint8Array> }
  const waiting = putter.waiting.map((id) => mesh.task(id))
  await putter.stop('SIGTERM')
  expect((await chunk.get())[mib - 1]).toBe(3)
  expect(await mesh.spawn(measure, chunk)).toEqual([mib, 3])
  expect(await mesh.all(waiting)).toEqual([0, 1, 2, 3].map((value) => [mib, value]))
  chunk.release()
}, 60_000)

test('[CH10] what a user had put is lost with its peer: its consumers fail, and say so', async () => {
  const mesh = await member('submitter')
  await lenders(mesh, 1)
  const putter = await startPutter()
  const { chunk } = (await mesh.task(putter.handed)) as { chunk: Chunk<Uint8Array> }
  await putter.stop('SIGKILL')
  await expect(mesh.spawn(measure, chunk)).rejects.toMatchObject({ code: 'E_CHUNK_LOST' })
  await expect(chunk.get()).rejects.toMatchObject({ code: 'E_CHUNK_LOST' })
}, 60_000)
