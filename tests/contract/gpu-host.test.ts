import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { PeerId } from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { createGpuHost, type GpuHandle } from '../../packages/sdk/src/processors/index.ts'
import { startNodeGpu } from '../../packages/sdk/src/processors/webgpu/gpu.node.ts'
import { gpuHostContract } from '../support/gpu-host-contract.ts'
import { softwareGpu } from '../support/vulkan.ts'

Object.assign(process.env, softwareGpu())

function findPackage(): string | null {
  try {
    return pathToFileURL(createRequire(import.meta.url).resolve('webgpu')).href
  } catch {
    return null
  }
}

const found = findPackage()
const start = (): GpuHandle => startNodeGpu(found)

/** Why there is no GPU, or `null` when there is one. */
function probe(): Promise<string | null> {
  const handle = start()
  return new Promise<string | null>((resolve) => {
    handle.onMessage((message) => resolve(message.type === 'absent' ? message.reason : null))
    handle.onDeath(resolve)
    handle.post({ type: 'start', resultForm: 'live' })
  }).finally(() => handle.terminate())
}

function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

const absence = await probe()

describe.skipIf(absence !== null)(
  `the package webgpu${absence === null ? '' : ` (skipped: ${absence})`}`,
  () => {
    gpuHostContract('a GPU of a Node process', start)

    test.skipIf(process.platform !== 'linux')(
      '[GP5] a driver that crashes takes its calls along, and comes back',
      async () => {
        const before = new Set(children())
        const host = createGpuHost({
          peer: 'peer-1' as PeerId,
          startGpu: start,
          operations: { add() {}, get: () => null, fetch: () => Promise.reject(new Error('none')) },
        })
        const lent = (): number => host.processors.length
        host.lendGpu(true)
        await expect.poll(lent, { timeout: 20_000 }).toBe(1)
        const [child] = children().filter((pid) => !before.has(pid))
        process.kill(child as number, 'SIGKILL')
        await expect.poll(lent, { timeout: 20_000 }).toBe(0)
        await expect.poll(lent, { timeout: 20_000 }).toBe(1)
        await host.close()
      },
      60_000,
    )
  },
)

test('[GP5] without the package there is no GPU, and it says so', async () => {
  const host = createGpuHost({
    peer: 'peer-1' as PeerId,
    startGpu: () => startNodeGpu(null),
    operations: { add() {}, get: () => null, fetch: () => Promise.reject(new Error('none')) },
  })
  host.lendGpu(true)
  await expect.poll(() => host.absence, { timeout: 20_000 }).toContain('"webgpu" is not installed')
  expect(host.processors).toEqual([])
  await host.close()
})
