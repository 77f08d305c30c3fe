import { sha256 } from '@noble/hashes/sha2.js'
import { expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { digest } from './digests.ts'
import { hashThreads } from './hash-threads.ts'

const sizes = [0, 1, limits.chunkPieceBytes / 4, limits.chunkPieceBytes - 1, limits.chunkPieceBytes]

test('[CH1] hashes are right, of every size, many at once, while threads start and when they run', async () => {
  const pieces = Array.from({ length: 40 }, (_, no) =>
    new Uint8Array(sizes[no % sizes.length] as number).map((_, at) => (at * 31 + no) % 251),
  )
  for (let round = 0; round < 3; round++) {
    const hashes = await Promise.all(pieces.map(digest))
    for (const [no, hash] of hashes.entries()) expect(hash).toEqual(sha256(pieces[no] as Uint8Array))
    await expect.poll(() => hashThreads(limits.chunkPieceBytes)?.areUp).toBe(true)
  }
  expect(hashThreads(limits.chunkPieceBytes)?.underWay).toBe(0)
})

test('[CH1] what is longer than a piece, as the hashes of a very large chunk are, is hashed, too', async () => {
  const long = new Uint8Array(limits.chunkPieceBytes + 1).fill(3)
  expect(await digest(long)).toEqual(sha256(long))
})
