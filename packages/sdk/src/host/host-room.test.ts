import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseInvite } from '@shoal/mesh'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { hostRoom } from './host-room.ts'
import type { HostRoomOptions, RoomHost } from './types.ts'

let folder = ''
const hosts: RoomHost[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-host-'))
})
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function open(options?: HostRoomOptions): Promise<RoomHost> {
  const host = await hostRoom(options)
  hosts.push(host)
  return host
}

test('hostRoom() listens on this machine only and gives two invites of one room', async () => {
  const host = await open()
  expect(host.url).toBe(`http://127.0.0.1:${host.port}`)
  const [member, contributor] = [parseInvite(host.memberInvite), parseInvite(host.contributorInvite)]
  expect(member).toMatchObject({ url: host.url, role: 'member', room: contributor.room })
  expect(contributor).toMatchObject({ url: host.url, role: 'contributor' })
  // A contributor must not be able to make itself a member.
  expect(Buffer.from(contributor.key).equals(Buffer.from(member.key))).toBe(false)
})

test('hostRoom() serves signalling and the page on one port', async () => {
  const host = await open()
  const { room } = parseInvite(host.memberInvite)
  const listing = await fetch(`${host.url}/shoal/rooms/${room}`)
  expect(await listing.json()).toEqual({ addresses: [] })
  const page = await fetch(host.url)
  // 503 with advice where the page was not built.
  expect([200, 503]).toContain(page.status)
  expect(await page.text()).toMatch(/<!doctype html>|npm start/i)
})

test('hostRoom() without the page serves signalling alone', async () => {
  const host = await open({ page: false })
  expect((await fetch(host.url)).status).toBe(404)
})

test('hostRoom() on all addresses names one that others can reach, and a local one', async () => {
  const host = await open({ host: '0.0.0.0' })
  expect(host.url).not.toContain('0.0.0.0')
  expect((await fetch(`${host.url}/shoal/rooms/x`)).status).toBe(200)
  expect(host.localUrl).toBe(`http://127.0.0.1:${host.port}`)
  expect(parseInvite(host.invite('member', host.localUrl))).toMatchObject({
    ...parseInvite(host.memberInvite),
    url: host.localUrl,
  })
})

test('hostRoom() keeps a room in a folder, for this user only', async () => {
  const dataDir = join(folder, 'kept')
  const first = parseInvite((await open({ dataDir })).memberInvite)
  const second = parseInvite((await open({ dataDir })).memberInvite)
  expect(second.room).toBe(first.room)
  expect(second.key).toEqual(first.key)
  expect(statSync(join(dataDir, 'room.json')).mode & 0o077).toBe(0)
  writeFileSync(join(dataDir, 'room.json'), '{}')
  await expect(hostRoom({ dataDir })).rejects.toMatchObject({ code: 'E_STORAGE' })
})

test('hostRoom() refuses a taken port and a bad name with their codes', async () => {
  const { port } = await open()
  await expect(hostRoom({ port })).rejects.toMatchObject({ code: 'E_LISTEN' })
  await expect(hostRoom({ room: 'two words' })).rejects.toMatchObject({ code: 'E_INVITE' })
})

test('close() is idempotent and frees the port', async () => {
  const host = await hostRoom()
  await Promise.all([host.close(), host.close()])
  await open({ port: host.port })
})
