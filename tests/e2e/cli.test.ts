import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Program, startShoal } from '../support/program.ts'
import { softwareGpu } from '../support/vulkan.ts'

// The command line as its users have it: processes that find each other over real signalling and WebRTC.

let folder = ''
const programs: Program[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-e2e-'))
  writeFileSync(join(folder, 'square.mjs'), 'export default (n) => n * n\n')
})
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.stop('SIGKILL')))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function shoal(args: readonly string[], env: Record<string, string> = {}): Program {
  const program = startShoal(args, env)
  programs.push(program)
  return program
}

async function openRoom(flags: readonly string[] = []) {
  const up = shoal(['up', '--host', '127.0.0.1', '--port', '0', '--json', ...flags])
  const invites = JSON.parse(await up.line(/"event":"up"/)) as {
    url: string
    memberInvite: string
    contributorInvite: string
  }
  return { up, ...invites }
}

describe('shoal', () => {
  test('up, join, run and status make a room that computes', async () => {
    const room = await openRoom(['--workers', '0'])
    const lender = shoal(['join', '--workers', '1', '--name', 'otter', '--json'], {
      SHOAL_INVITE: room.contributorInvite,
    })
    const joined = JSON.parse(await lender.line(/"event":"joined"/))
    expect(joined).toMatchObject({ role: 'contributor', processors: [expect.anything()] })

    const run = shoal([
      'run',
      join(folder, 'square.mjs'),
      '--stdin',
      '--workers',
      '0',
      '--invite',
      room.memberInvite,
    ])
    run.child.stdin?.end(Array.from({ length: 100 }, (_, n) => `${n + 1}\n`).join(''))
    expect(await run.ended, run.errors).toBe(0)
    expect(run.lines).toEqual(Array.from({ length: 100 }, (_, n) => String((n + 1) ** 2)))
    expect(run.errors).toBe('')

    const status = shoal(['status', room.memberInvite, '--json'])
    expect(await status.ended, status.errors).toBe(0)
    const said = JSON.parse(status.lines.join(''))
    expect(said.peers).toContainEqual(expect.objectContaining({ name: 'otter', role: 'contributor' }))
    const { peer } = joined
    expect(said.processors).toContainEqual({
      id: `${peer}/worker/0`,
      kind: 'worker',
      peer,
      isDefault: true,
      score: expect.any(Number),
    })
    // Two Node processes of one machine.
    expect(said.links).toContainEqual({ peer, over: 'tcp' })

    // Polite ends: both processes leave by themselves on SIGTERM.
    expect(await lender.stop()).toBe(0)
    expect(await room.up.stop()).toBe(0)
  })

  test('[GP5] join --gpu without a GPU lends the workers and says the way out; --require-gpu fails', async () => {
    const room = await openRoom(['--workers', '0', '--no-gpu'])
    // Runners of tests may point to packages that are theirs.
    const bare = { NODE_PATH: '' }
    const lender = shoal(['join', room.contributorInvite, '--workers', '1', '--gpu', '--name', 'otter'], bare)
    await lender.line(/^Joined as contributor, lending 1 worker\. /)
    expect(lender.errors).toMatch(
      /^! no GPU to lend: .*"webgpu" is not installed. To fix: npm install webgpu@/m,
    )
    const strict = shoal(['join', room.contributorInvite, '--require-gpu'], bare)
    expect(await strict.ended).toBe(1)
    expect(strict.errors).toMatch(
      /^shoal: E_GPU: Cannot lend a GPU as there must be one: .* To fix: [^\n]*$/m,
    )
    const status = shoal(['status', room.memberInvite])
    expect(await status.ended, status.errors).toBe(0)
    expect(status.lines.join('\n')).toMatch(/otter +contributor +1 worker \(speed \d+\.\d\) +\d+ ms over TCP/)
  })

  test.skipIf(Object.keys(softwareGpu()).length === 0)(
    '[GP2] join --gpu lends the GPU that is there',
    async () => {
      const room = await openRoom(['--workers', '0'])
      const lender = shoal(['join', room.contributorInvite, '--workers', '0', '--gpu'], {
        ...softwareGpu(),
        // The optional package is installed for the tests, not for the SDK.
        NODE_PATH: fileURLToPath(new URL('../node_modules', import.meta.url)),
      })
      await lender.line(/^Joined as contributor, lending 0 workers and a GPU\. /)
      const status = shoal(['status', room.memberInvite, '--json'])
      expect(await status.ended, status.errors).toBe(0)
      const { processors } = JSON.parse(status.lines.join(''))
      expect(processors).toContainEqual(expect.objectContaining({ kind: 'webgpu', isDefault: false }))
    },
  )

  test('up serves the page or says how to build it', async () => {
    const { url } = await openRoom(['--workers', '0'])
    const page = await (await fetch(url)).text()
    expect(page).toMatch(/<!doctype html>|npm start/i)
  })

  test('a kept room has the same invites after a restart', async () => {
    const kept = ['--workers', '0', '--data-dir', join(folder, 'room')]
    const first = await openRoom(kept)
    await first.up.stop()
    const port = new URL(first.url).port
    const again = shoal(['up', '--host', '127.0.0.1', '--json', ...kept, '--port', port])
    const second = JSON.parse(await again.line(/"event":"up"/))
    expect(second.memberInvite).toBe(first.memberInvite)
  })

  test('doctor finds workers and WebRTC well on this machine', async () => {
    const room = await openRoom(['--workers', '0'])
    const doctor = shoal(['doctor', room.memberInvite])
    expect(await doctor.ended, doctor.lines.join('\n')).toBe(0)
    expect(doctor.lines.map((line) => line.slice(0, 4))).toEqual(['ok  ', 'ok  ', 'ok  ', 'ok  '])
  })

  test('a taken port and an absent room end with one line and a way out', async () => {
    const room = await openRoom(['--workers', '0'])
    const second = shoal(['up', '--host', '127.0.0.1', '--port', new URL(room.url).port])
    expect(await second.ended).toBe(1)
    expect(second.errors).toMatch(/^shoal: E_LISTEN: [^\n]* To fix: [^\n]*\n$/)
    await room.up.stop()
    const late = shoal(['status', room.memberInvite])
    expect(await late.ended).toBe(1)
    expect(late.errors).toMatch(/^shoal: E_\w+: [^\n]*\n$/)
  })
})
