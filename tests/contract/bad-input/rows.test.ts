import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

/** Files with tables of bad input; a test there that holds a row carries its number in its name. */
const files = {
  frames: 'packages/mesh/src/wire/frames.test.ts',
  bulk: 'packages/mesh/src/wire/bulk.test.ts',
  handshake: 'tests/contract/bad-input/handshake.test.ts',
  documents: 'packages/mesh/src/replica/replica.test.ts',
  seals: 'packages/mesh/src/replica/seals.test.ts',
  members: 'packages/mesh/src/room.test.ts',
  rooms: 'tests/contract/bad-input/rooms.test.ts',
  scheduler: 'tests/contract/bad-input/scheduler.test.ts',
  tasks: 'tests/contract/bad-input/tasks.test.ts',
  chunks: 'packages/mesh/src/chunks/transfers.test.ts',
  kernels: 'tests/support/gpu-host-contract.ts',
  storage: 'tests/browser/peer-store.test.ts',
  services: 'packages/sdk/src/service.test.ts',
} as const

type Where = keyof typeof files

/**
 * All bad input that Shoal promises to refuse with a code, to outlive, and to follow with good work. Row 21
 * (a compressed frame that inflates), 60 (a sandbox) and 70 (votes) are about parts that do not exist yet. 68 (a call with an old
 * epoch) cannot arise: calls name no epoch, and who is not host says who is (SV15). 67 (a negative count) cannot arise: who holds a chunk is a set of peers.
 */
const rows: readonly (readonly [row: number, what: string, code: string, where: Where])[] = [
  [1, 'an empty frame', 'E_FRAME', 'frames'],
  [2, 'an unknown version', 'E_VERSION', 'frames'],
  [3, 'an unknown type', 'E_TYPE', 'frames'],
  [4, 'a frame above the limit', 'E_TOO_LARGE', 'frames'],
  [5, 'truncated MessagePack', 'E_DECODE', 'frames'],
  [6, 'trailing bytes', 'E_DECODE', 'frames'],
  [7, 'an array that lies about its length', 'E_DECODE', 'frames'],
  [8, 'a map that lies about its length', 'E_DECODE', 'frames'],
  [9, 'nesting without end', 'E_DEPTH', 'frames'],
  [10, 'text instead of bytes', 'E_FRAME', 'frames'],
  [11, '__proto__ and constructor keys', 'E_SCHEMA', 'frames'],
  [12, 'an extra field', 'E_SCHEMA', 'frames'],
  [13, 'a wrong type', 'E_SCHEMA', 'frames'],
  [14, 'a number that is none', 'E_SCHEMA', 'frames'],
  [15, 'broken or endless text', 'E_SCHEMA', 'frames'],
  [16, 'a replayed frame', 'E_REPLAY', 'frames'],
  [17, 'a gap in the sequence', 'E_SEQ', 'frames'],
  [18, 'a flood', 'E_RATE', 'frames'],
  [19, 'chunks that stop coming', 'E_CHUNK_TIMEOUT', 'bulk'],
  [20, 'chunks out of place', 'E_CHUNK', 'bulk'],
  [22, 'no hello', 'E_HELLO_TIMEOUT', 'handshake'],
  [23, 'a wrong proof', 'E_AUTH', 'handshake'],
  [24, 'a reflected nonce', 'E_AUTH', 'handshake'],
  [25, 'somebody in between', 'E_CHANNEL_BINDING', 'handshake'],
  [26, 'an id that is not that of the key', 'E_IDENTITY', 'handshake'],
  [27, 'anything before the proof', 'E_AUTH_REQUIRED', 'handshake'],
  [28, 'what only members say', 'E_FORBIDDEN', 'frames'],
  [29, 'no common protocol', 'E_VERSION', 'handshake'],
  [30, 'a second link of one peer', 'E_SUPERSEDED', 'members'],
  [31, 'a banned key', 'E_BANNED', 'rooms'],
  [32, 'a weak key', 'E_IDENTITY', 'handshake'],
  [33, 'an update that deletes everything', 'E_CRDT_FOREIGN', 'documents'],
  [34, 'a GC structure of endless length', 'E_CRDT_UPDATE', 'documents'],
  [35, 'a forged client id', 'E_CRDT_FOREIGN', 'documents'],
  [36, 'a deletion of what is another’s', 'E_CRDT_FOREIGN', 'documents'],
  [37, 'updates whose first is withheld', 'E_CRDT_GAP', 'documents'],
  [38, 'two histories', 'E_EQUIVOCATION', 'seals'],
  [39, 'an update for an unknown document', 'E_CRDT_LANE', 'documents'],
  [40, 'a wrong signature', 'E_SIGNATURE', 'seals'],
  [41, 'a document above its quota', 'E_QUOTA', 'documents'],
  [42, 'another shape', 'E_CRDT_SHAPE', 'documents'],
  [43, 'a state vector that lies', 'E_CRDT_UPDATE', 'documents'],
  [44, 'a profile that speaks for another', 'E_FORBIDDEN', 'frames'],
  [45, 'code that nobody has', 'E_NO_FUNCTION', 'tasks'],
  [46, 'code with another hash', 'E_CODE_HASH', 'members'],
  [47, 'code that does not load', 'E_CODE', 'tasks'],
  [48, 'tasks that need each other', 'E_CYCLE', 'scheduler'],
  [49, 'an input that nobody knows', 'E_NO_DEP', 'scheduler'],
  [50, 'two tasks under one number', 'E_ID_REUSED', 'scheduler'],
  [51, 'a result of a peer that was not asked', 'E_NOT_ASSIGNED', 'scheduler'],
  [52, 'a result of an attempt that is over', 'E_EPOCH_STALE', 'scheduler'],
  [53, 'a result after the end', 'E_ALREADY_DONE', 'scheduler'],
  [54, 'values that cannot travel', 'E_NOT_SERIALIZABLE', 'tasks'],
  [55, 'a result above the limit', 'E_TOO_LARGE', 'tasks'],
  [56, 'an impossible time-out', 'E_SCHEMA', 'frames'],
  [57, 'a body without end', 'E_TASK_TIMEOUT', 'tasks'],
  [58, 'a body that eats all memory', 'lost', 'tasks'],
  [59, 'a body that kills processors', 'E_TASK_POISON', 'scheduler'],
  [61, 'thrown things that throw', 'null', 'tasks'],
  [62, 'bodies that spawn without end', 'E_LIMIT', 'scheduler'],
  [63, 'WGSL that does not compile', 'E_WGSL', 'kernels'],
  [64, 'a kernel that does not end', 'E_GPU_TIMEOUT', 'kernels'],
  [65, 'a request for a chunk that is not its sender’s to ask', 'E_CHUNK_REF', 'chunks'],
  [66, 'bytes of a chunk that do not match', 'E_HASH', 'chunks'],
  [69, 'a service that crashes again and again', 'E_SERVICE_CRASH_LOOP', 'services'],
  [71, 'an outcome that nobody knows any more', 'E_OWNER_LOST', 'scheduler'],
  [72, 'no processor in scope', 'E_NO_PROCESSOR', 'scheduler'],
  [73, 'a browser that keeps nothing', 'E_STORAGE_DENIED', 'storage'],
  [74, 'arguments that do not fit a kernel', 'E_KERNEL_ARGUMENT', 'kernels'],
]

describe('each row of bad input is held by a test that names its number and its code', () => {
  test.each(rows)('[%i] %s: %s', (row, _what, code, where) => {
    const text = readFileSync(new URL(`../../../${files[where]}`, import.meta.url), 'utf8')
    const places = [...text.matchAll(new RegExp(`['"\`][^\\n]*\\[${row}\\]`, 'g'))].map(({ index }) => index)
    expect(places.length).toBeGreaterThan(0)
    expect(places.some((at) => text.slice(at, at + 2_000).includes(code))).toBe(true)
  })
})
