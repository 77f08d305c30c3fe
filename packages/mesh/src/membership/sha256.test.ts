import { createHash } from 'node:crypto'
import { describe, expect, test, vi } from 'vitest'

describe.each(['native', 'portable'])('sha256(), %s', async (kind) => {
  // Browsers have no such way to Node's own.
  if (kind === 'portable') vi.stubGlobal('process', { ...process, getBuiltinModule: undefined })
  vi.resetModules()
  const { sha256, sha256Hex } = await import('./sha256.ts')
  vi.unstubAllGlobals()

  test.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    ['a'.repeat(1_000_000), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0'],
  ])('knows the standard vectors', (text, hash) => {
    expect(sha256Hex(text)).toBe(hash)
  })

  test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 70_000])('hashes %i bytes as Node does', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7)
    const expected = createHash('sha256').update(bytes).digest('hex')
    expect(Buffer.from(sha256(bytes)).toString('hex')).toBe(expected)
    expect(sha256Hex(bytes)).toBe(expected)
  })

  test('a text is hashed as its UTF-8 bytes', () => {
    expect(sha256Hex('é')).toBe(createHash('sha256').update('é').digest('hex'))
  })
})
