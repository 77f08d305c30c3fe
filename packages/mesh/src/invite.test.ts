import { ShoalError } from '@shoal/scheduler'
import { expect, test } from 'vitest'
import { createInvite, formatInvite, keysOf, parseInvite } from './invite.ts'

const secret = new Uint8Array(32).map((_, at) => at * 7)

test('createInvite() makes two links of one secret; the same secret gives the same links', async () => {
  const first = await createInvite({ url: 'http://192.168.1.7:7420/', room: 'blue-reef', secret })
  const second = await createInvite({ url: 'http://192.168.1.7:7420', room: 'blue-reef', secret })
  expect(first).toEqual(second)
  expect(formatInvite(first.member)).toMatch(
    /^http:\/\/192\.168\.1\.7:7420\/#room=blue-reef&role=member&k=[\w-]{43}$/,
  )
  expect(first.contributor.key).not.toEqual(first.member.key)
})

test('parseInvite() reads what formatInvite() wrote, with a path and blanks around it', async () => {
  const { member, contributor } = await createInvite({ url: 'https://example.org/mesh' })
  expect(parseInvite(formatInvite(member))).toEqual(member)
  expect(parseInvite(` ${formatInvite(contributor)}\n`)).toEqual(contributor)
})

test('keysOf() gives contributors the key that members know, and nothing of the members', async () => {
  const { member, contributor } = await createInvite({ url: 'http://127.0.0.1:1', secret })
  const known = await keysOf(member)
  const lent = await keysOf(contributor)
  expect(lent.contributor).toEqual(known.contributor)
  expect(lent.roomKeyHash).toEqual(known.roomKeyHash)
  expect([lent.member, lent.room]).toEqual([null, null])
})

const key = 'A'.repeat(43)

test.each([
  ['', 'whole link'],
  ['blue-reef', 'whole link'],
  ['ftp://127.0.0.1/#room=a&role=member', 'http'],
  ['http://127.0.0.1:1/', 'after #'],
  [`http://127.0.0.1:1/#role=member&k=${key}`, '"room"'],
  [`http://127.0.0.1:1/#room=a%20b&role=member&k=${key}`, '"room"'],
  [`http://127.0.0.1:1/#room=a&role=king&k=${key}`, '"role"'],
  ['http://127.0.0.1:1/#room=a&role=member', '"k"'],
  [`http://127.0.0.1:1/#room=a&role=member&k=${key.slice(1)}`, 'cut'],
])('parseInvite(%j) says what is wrong: E_INVITE', (text, hint) => {
  const read = (): unknown => parseInvite(text)
  expect(read).toThrow(ShoalError)
  expect(read).toThrow(hint)
  try {
    read()
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_INVITE' })
    expect(String(error)).not.toContain('AAAA')
  }
})
