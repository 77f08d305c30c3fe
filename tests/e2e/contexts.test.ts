import { operation, scope, withContext } from '@shoal/sdk'
import { expect, test } from 'vitest'
import { useRoom } from './support/test-room.ts'

// What bodies do with the mesh, on other processes than the one that submits.

const { contributorInvite, member, node } = useRoom()

const down = withContext(async function down(ctx, n: number): Promise<number> {
  if (n === 0) return 1
  const [deep] = await ctx.mesh.map(down, [n - 1])
  const chunk = await ctx.mesh.put(n)
  const read = await ctx.mesh.spawn((value: number) => value, chunk)
  return (deep as number) + read - (await chunk.get()) + 1
})

test('[TS10] recursion 8 deep ends on the only worker of a room, as often as it is asked for', async () => {
  const mesh = await member('submitter')
  await node('guest', 1, contributorInvite())
  await expect.poll(() => mesh.processors.length, { timeout: 20_000 }).toBe(1)
  expect(await mesh.map(down, [8, 8, 8])).toEqual([9, 9, 9])
}, 60_000)

test('[CH12] what a body put is read by its submitter and by others, from where it is', async () => {
  const mesh = await member('submitter')
  const [first, second] = await Promise.all([node('guest', 1, contributorInvite()), node('lender', 1)])
  await expect.poll(() => mesh.processors.length, { timeout: 20_000 }).toBe(2)
  const make = withContext(async (ctx, size: number) => ({
    table: await ctx.mesh.put(new Uint8Array(size).fill(7)),
  }))
  const { table } = await mesh.with({ scope: scope.peer(first.id) }).spawn(make, 2 ** 20)
  expect(table.home).toBe(first.id)
  const last = operation('last', (bytes: Uint8Array) => bytes.at(-1))
  expect(await mesh.spawn(last.with({ scope: scope.peer(second.id) }), table)).toBe(7)
  expect(mesh.metrics().chunks.movedInBytes).toBe(0)
  expect((await table.get()).length).toBe(2 ** 20)
  table.release()
}, 60_000)
