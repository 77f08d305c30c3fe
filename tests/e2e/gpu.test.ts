import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { joinMesh, kernel, type Mesh, scope, withContext } from '@shoal/sdk'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { auditPage } from './support/audit.ts'
import { gpuFlags, launchBrowser, openPage } from './support/browser.ts'
import { contribute, joinRoom, waitForPicture } from './support/demo-page.ts'
import { startNodePeer } from './support/node-peer.ts'

// A page that lends its GPU to a Node process and to the wall, over WebRTC.

let room: RoomHost
let browser: Browser
let page: Page
let errors: readonly string[]
let mesh: Mesh

beforeAll(async () => {
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser(gpuFlags)
  ;({ page, errors } = await openPage(browser, room.memberInvite))
  await joinRoom(page, 'A page with a GPU')
  await contribute(page, 1)
  mesh = await joinMesh(room.memberInvite, { name: 'Node', workers: 0 })
  await whenGpus(1)
})

afterAll(async () => {
  await mesh?.close()
  await browser?.close()
  await room?.close()
})

function gpus(): string[] {
  return mesh.processors.flatMap(({ kind, id }) => (kind === 'webgpu' ? [id] : []))
}

/** Resolves when `mesh` sees that many GPUs. */
function whenGpus(count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (gpus().length !== count) return
      leave()
      resolve()
    }
    const leave = mesh.on('peers-changed', look)
    look()
  })
}

const histogram = kernel<{ values: Uint32Array; bins?: Uint32Array }, { bins: Uint32Array }>({
  wgsl: `@group(0) @binding(0) var<storage> values: array<u32>;
    @group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>, 16>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&values)) { atomicAdd(&bins[values[id.x] % 16u], 1u); }
    }`,
  outputs: ['bins'],
  threads: 'values',
})

test('[GP2][GP3] a Node process runs kernels on the GPU of a page', async () => {
  const values = Uint32Array.from({ length: 16_000 }, (_, index) => index)
  const { bins } = await mesh.spawn(histogram, { values })
  expect(bins).toEqual(new Uint32Array(16).fill(1_000))
  const group = mesh.map(histogram, [{ values: values.slice(0, 160) }, { values: values.slice(0, 16) }])
  for await (const record of group) {
    expect(record).toMatchObject({ status: 'done', processor: gpus()[0] })
  }
  const bad = mesh.spawn(histogram, { values: 'all' as unknown as Uint32Array })
  await expect(bad.fetch()).rejects.toMatchObject({ code: 'E_KERNEL_ARGUMENT' })
})

test('[GP7] tasks and chunks among the bindings become their values at the GPU', async () => {
  const values = Uint32Array.from({ length: 160_000 }, (_, index) => index)
  const expected = new Uint32Array(16).fill(10_000)
  using chunk = await mesh.put(values)
  expect(await mesh.spawn(histogram, { values: chunk })).toEqual({ bins: expected })
  const made = mesh.spawn(
    (count: number) => Uint32Array.from({ length: count }, (_, index) => index),
    160_000,
  )
  const bins = Uint32Array.from({ length: 16 }, (_, index) => index)
  const both = await mesh.spawn(histogram, {
    values: made,
    bins: mesh.spawn((list: Uint32Array) => list, bins),
  })
  expect(both).toEqual({ bins: expected.map((count, index) => count + index) })
  using wrong = await mesh.put(Float32Array.of(1) as unknown)
  await expect(mesh.spawn(histogram, { values: wrong as typeof chunk })).rejects.toMatchObject({
    code: 'E_KERNEL_ARGUMENT',
    message: expect.stringContaining(
      '"values" must be a Uint32Array for array<u32>: current value is a Float32Array of 1',
    ),
  })
  const failing = mesh.spawn((count: number): Uint32Array => {
    throw new RangeError(`no ${count}`)
  }, 3)
  const failed = mesh.spawn(histogram, { values: failing })
  await expect(failed.fetch()).rejects.toMatchObject({ originTaskId: failing.id })
})

test('[TS11] a body on a Node peer spawns kernels, which run on the GPU of the page', async () => {
  const node = await startNodePeer(room.contributorInvite, 'Node guest', 1)
  try {
    const onNode = scope.union(scope.peer(node.id), scope.kind('webgpu'))
    const body = withContext(async (ctx, count: typeof histogram, parts: Uint32Array[]) => {
      const chunk = await ctx.mesh.put(parts[0] as Uint32Array)
      const all = await ctx.mesh.map(count, [{ values: chunk }, { values: parts[1] as Uint32Array }])
      return { processor: ctx.processor, sums: all.map(({ bins }) => bins[3]) }
    })
    const parts = [Uint32Array.of(3, 3, 4), Uint32Array.of(3)]
    const made = await mesh.with({ scope: onNode }).spawn(body, histogram, parts)
    expect(made).toEqual({ processor: `${node.id}/worker/0`, sums: [2, 1] })
  } finally {
    await node.stop()
  }
})

test('[GP3] big arguments and results of kernels travel like any others', async () => {
  const negate = kernel<{ a: Float32Array }, { out: Float32Array }>({
    wgsl: `@group(0) @binding(0) var<storage> a: array<f32>;
      @group(0) @binding(1) var<storage, read_write> out: array<f32>;
      @compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3u) {
        if (id.x < arrayLength(&out)) { out[id.x] = -a[id.x]; }
      }`,
    outputs: ['out'],
  })
  const made = mesh.spawn(negate, { a: Float32Array.from({ length: 500_000 }, (_, index) => index) })
  const { out } = await made
  expect([out.length, out[499_999]]).toEqual([500_000, -499_999])
})

test('[GP2] the wall is drawn by workers and GPUs, and says which', async () => {
  await page.getByText('On: this device lends 1 worker and its GPU.').waitFor()
  await page.getByLabel('Detail').selectOption('Quick')
  await page.getByRole('button', { name: 'Start' }).click()
  await waitForPicture(page, 1)
  const made = page.locator('[data-by-gpu]')
  const byGpu = Number(await made.getAttribute('data-by-gpu'))
  expect(byGpu).toBeGreaterThan(0)
  expect(byGpu).toBeLessThan(150)
  expect(await made.textContent()).toBe(
    `Drawn by workers (solid border): ${150 - byGpu}. By GPUs (dashed border): ${byGpu}.`,
  )
  const name = await page.getByRole('img', { name: /^Mandelbrot set/ }).getAttribute('aria-label')
  expect(name).toContain(`150 of 150 tiles drawn, ${byGpu} by GPUs`)
  expect(await auditPage(page)).toEqual([])
  const screenshots = fileURLToPath(new URL('../../test-results/', import.meta.url))
  mkdirSync(screenshots, { recursive: true })
  await page.screenshot({ path: `${screenshots}wall-gpu.png`, fullPage: true })
  expect(errors).toEqual([])
})

test('[GP5] a GPU whose driver crashes leaves, comes back, and loses no task', async () => {
  const left = whenGpus(0)
  const devtools = await browser.newBrowserCDPSession()
  // The answer never comes when the process that is asked is the one that crashes.
  void devtools.send('Browser.crashGpuProcess' as never).catch(() => {})
  await left
  const task = mesh
    .with({ scope: scope.kind('webgpu') })
    .spawn(histogram, { values: Uint32Array.of(3, 3, 5) })
  await whenGpus(1)
  const { bins } = await task
  expect([bins[3], bins[5]]).toEqual([2, 1])
})
