import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { portableSha256, sha256, sha256Hex } from './sha256.ts'

test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 70_000])(
  'sha256() is the same here and where there is no native one, for %i bytes',
  (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7)
    const expected = createHash('sha256').update(bytes).digest('hex')
    expect(Buffer.from(portableSha256(bytes)).toString('hex')).toBe(expected)
    expect(Buffer.from(sha256(bytes)).toString('hex')).toBe(expected)
    expect(sha256Hex(bytes)).toBe(expected)
  },
)
