import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { hostRoom } from './host/host-room.ts'
import type { RoomHost } from './host/types.ts'
import { joinMesh, localMesh } from './node.ts'
import type { Mesh, MeshOptions } from './types.ts'

let host: RoomHost
let root = ''
const meshes: Mesh[] = []

beforeAll(async () => {
  host = await hostRoom({ page: false })
  root = mkdtempSync(join(tmpdir(), 'shoal-mesh-storage-'))
})
afterEach(() => Promise.all(meshes.splice(0).map((mesh) => mesh.close())))
afterAll(async () => {
  await host.close()
  rmSync(root, { recursive: true, force: true })
})

async function member(options: MeshOptions = {}): Promise<Mesh> {
  const mesh = await joinMesh(host.memberInvite, { workers: 0, ...options })
  meshes.push(mesh)
  return mesh
}

function epochOf(mesh: Mesh): number | undefined {
  return mesh.peers.find(({ isSelf }) => isSelf)?.epoch
}

describe('storage', () => {
  test('[DU1] a mesh with a folder goes on with its job where the last start ended', async () => {
    const storage = join(root, 'goes-on')
    const first = await member({ storage })
    expect(first.health()).toMatchObject({ durability: 'disk' })
    const group = first.map((x: number) => x * x, [1, 2, 3])
    await group.durable()
    const abandoned = group.wait()
    await first.close()
    await abandoned
    const second = await member({ storage, workers: 1 })
    expect([second.self, epochOf(second)]).toEqual([first.self, 2])
    expect(second.jobs().map(({ id }) => id)).toEqual([group.jobId])
    expect(await second.group<number>(group.jobId)).toEqual([1, 4, 9])
  }, 60_000)

  test('[DU5] two meshes with one folder are two peers', async () => {
    const storage = join(root, 'two')
    const [first, second] = [await member({ storage }), await member({ storage })]
    expect(second.self).not.toBe(first.self)
  })

  test('without a folder nothing is kept, and health says so', async () => {
    const mesh = await member()
    expect(mesh.health().durability).toBe('memory')
    expect(mesh.health().reasons).toEqual(['No other member is linked: what is lost here is lost'])
    const alone = await localMesh({ workers: 1 })
    meshes.push(alone)
    expect(alone.health().durability).toBe('memory')
    await expect(alone.spawn(() => 1).durable()).rejects.toMatchObject({ code: 'E_STORAGE' })
  })

  test('a contributor keeps who it is, and has nothing else to keep', async () => {
    const storage = join(root, 'contributor')
    const first = await joinMesh(host.contributorInvite, { workers: 0, storage })
    expect(first.health().durability).toBe('memory')
    await first.close()
    const second = await joinMesh(host.contributorInvite, { workers: 0, storage })
    meshes.push(second)
    expect([second.self, epochOf(second)]).toEqual([first.self, 2])
  })

  test.each([
    ['idb', 'E_OPTION'],
    ['', 'E_OPTION'],
    [7 as unknown as string, 'E_OPTION'],
  ])('storage %j is refused with %s', async (storage, code) => {
    await expect(member({ storage })).rejects.toMatchObject({ code })
  })

  test('[DU3] a folder that cannot be used is refused', async () => {
    const file = join(root, 'file')
    writeFileSync(file, '')
    await expect(member({ storage: join(file, 'folder') })).rejects.toMatchObject({ code: 'E_STORAGE' })
  })
})

describe('durable()', () => {
  test('[DU7] waits for a member where there is no disk', async () => {
    const first = await member()
    const task = first.spawn(() => 1)
    let isDurable = false
    const durable = task.durable().then(() => {
      isDurable = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(isDurable).toBe(false)
    const second = await member()
    await durable
    const [job] = second.jobs()
    expect(task.id.startsWith(job?.id ?? '?')).toBe(true)
  })

  test('[DU7] ends with the mesh', async () => {
    const mesh = await member()
    const durable = mesh.map((x: number) => x, [1, 2]).durable()
    const ended = durable.catch((error: unknown) => error)
    await mesh.close()
    expect(await ended).toMatchObject({ code: 'E_CLOSED' })
  })

  test('what was never sent has nothing to wait for', async () => {
    const mesh = await member()
    const task = mesh.spawn(
      (x: unknown) => x,
      () => 1,
    )
    await task.durable()
    await expect(task.fetch()).rejects.toMatchObject({ code: 'E_NOT_SERIALIZABLE' })
  })
})
