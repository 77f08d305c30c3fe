import { expect, test } from 'vitest'
import { isInvite, roomOf } from './invite-link.ts'
import { ShoalError } from './mesh-session.ts'
import { count, healthLine, problemOf } from './words.ts'

const health = {
  isOnline: true,
  peers: 3,
  members: 3,
  processors: 4,
  durability: 'memory',
  reasons: [],
} as const

test('problemOf() gives advice and keeps the code for whoever repairs it', () => {
  const problem = problemOf(new ShoalError('E_INVITE', 'Cannot join'))
  expect(problem.title).toBe('This invite link is not complete')
  expect(problem.detail).toBe('E_INVITE: Cannot join')
})

test('problemOf() has words for what it does not know', () => {
  expect(problemOf('odd')).toEqual({
    title: 'Something went wrong',
    advice: 'Try again; if it stays, reload the page.',
    detail: 'odd',
  })
})

test('healthLine() says who is there, and what goes on while the meeting point is away', () => {
  expect(healthLine(health, false)).toBe('Connected to 2 others. 4 processors lent.')
  expect(healthLine({ ...health, peers: 1, processors: 0 }, false)).toBe(
    'Connected. Nobody else is here yet. No processor is lent.',
  )
  expect(healthLine({ ...health, isOnline: false }, false)).toContain('those here go on')
  expect(healthLine({ ...health, isOnline: false, peers: 1 }, false)).toContain('Trying to reach it again')
  expect(healthLine({ ...health, processors: 1 }, true)).toBe('On your own: no network. 1 processor lent.')
})

test('count() knows one from many', () => {
  expect([count(0, 'tile'), count(1, 'tile'), count(2, 'tile')]).toEqual(['0 tiles', '1 tile', '2 tiles'])
})

test('isInvite() and roomOf() read the link', () => {
  const link = 'http://127.0.0.1:7420/#room=blue&role=member&k=abc'
  expect(isInvite(link)).toBe(true)
  expect(roomOf(link)).toBe('blue')
  expect(roomOf(link.replace('blue', 'cc226bb3b7d81ae51a4d'))).toBe('cc226b')
  expect(isInvite('http://127.0.0.1:7420/#about')).toBe(false)
})
