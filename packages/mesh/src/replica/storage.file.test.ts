import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { documentFile, openFileStorage } from './storage.file.ts'
import type { DurableStorage } from './storage.ts'

const root = mkdtempSync(join(tmpdir(), 'shoal-file-storage-'))
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(root, 'test-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const name = 'job:a'
const updates = [Uint8Array.of(1, 2, 3), Uint8Array.of(4), Uint8Array.from({ length: 100 }, (_, at) => at)]
const path = (): string => join(directory, documentFile(name))

async function open(damages: string[] = []): Promise<DurableStorage> {
  return openFileStorage({ directory, onDamage: (error) => damages.push(error.code) })
}

async function written(): Promise<void> {
  const storage = await open()
  for (const update of updates) {
    storage.append(name, update)
    await storage.flush()
  }
  await storage.close()
}

describe('[DU2] what a crash leaves', () => {
  test('every torn tail is cut off, and the next write follows what was whole', async () => {
    await written()
    const whole = readFileSync(path())
    // The last record has 8 + 100 bytes, the one before 8 + 1.
    for (let length = whole.length - 1; length >= whole.length - 120; length--) {
      writeFileSync(path(), whole.subarray(0, length))
      const kept = length >= whole.length - 108 ? 2 : length >= whole.length - 117 ? 1 : 0
      const damages: string[] = []
      const storage = await open(damages)
      expect(await storage.load()).toEqual([{ name, updates: updates.slice(0, kept) }])
      const isClean = length === whole.length - 108 || length === whole.length - 117
      expect(damages).toEqual(isClean ? [] : ['E_STORAGE'])
      storage.append(name, Uint8Array.of(9))
      await storage.close()
      const again = await open()
      expect(await again.load()).toEqual([{ name, updates: [...updates.slice(0, kept), Uint8Array.of(9)] }])
      await again.close()
    }
  })

  test('no flipped bit is taken for data', async () => {
    await written()
    const whole = readFileSync(path())
    for (let bit = 0; bit < whole.length * 8; bit += 3) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
      writeFileSync(path(), bytes)
      const storage = await open()
      const [document] = await storage.load()
      const found = document?.updates ?? []
      expect(found.length).toBeLessThan(updates.length)
      expect(found).toEqual(updates.slice(0, found.length))
      await storage.close()
      rmSync(`${path()}.damaged`, { force: true })
    }
  })

  test('a snapshot that was cut short leaves what it was to replace', async () => {
    await written()
    writeFileSync(`${path()}.tmp`, readFileSync(path()).subarray(0, 30))
    const storage = await open()
    expect(await storage.load()).toEqual([{ name, updates }])
    await storage.close()
    expect(readdirSync(directory)).toEqual([documentFile(name)])
  })

  test('a file that is none of ours is put aside', async () => {
    await written()
    writeFileSync(path(), 'something else')
    const damages: string[] = []
    const storage = await open(damages)
    expect(await storage.load()).toEqual([])
    expect(damages).toEqual(['E_STORAGE'])
    expect(readFileSync(`${path()}.damaged`, 'utf8')).toBe('something else')
    await storage.close()
  })
})

describe('[DU3] a disk that fails', () => {
  test.skipIf(!existsSync('/dev/full'))(
    'a full disk is a fault until the documents are whole again',
    async () => {
      const storage = await open()
      storage.append(name, Uint8Array.of(1))
      await storage.flush()
      let changes = 0
      storage.onFault(() => changes++)
      // From now on each write to the file meets a full disk.
      rmSync(path())
      symlinkSync('/dev/full', path())
      storage.append(name, Uint8Array.of(2))
      await expect(storage.onDisk?.()).rejects.toMatchObject({ code: 'E_QUOTA' })
      expect(storage.fault).toMatchObject({ code: 'E_QUOTA' })
      expect(storage.unsaved()).toEqual([name])
      storage.append(name, Uint8Array.of(3))
      await storage.flush()
      expect(storage.unsaved()).toEqual([name])
      // A snapshot takes the place of the file.
      storage.compact(name, Uint8Array.of(1, 2, 3))
      storage.append(name, Uint8Array.of(4))
      await storage.onDisk?.()
      expect(storage.fault).toBeNull()
      expect(changes).toBe(2)
      await storage.close()
      const again = await open()
      expect(await again.load()).toEqual([{ name, updates: [Uint8Array.of(1, 2, 3), Uint8Array.of(4)] }])
      await again.close()
    },
  )

  test('a folder that cannot be made is refused with a code', async () => {
    writeFileSync(join(directory, 'file'), '')
    const opening = openFileStorage({ directory: join(directory, 'file', 'documents') })
    await expect(opening).rejects.toMatchObject({ code: 'E_STORAGE' })
  })

  test('a folder that vanishes costs durability, not the caller', async () => {
    const storage = await open()
    storage.append(name, Uint8Array.of(1))
    await storage.flush()
    rmSync(directory, { recursive: true })
    storage.append('job:b', Uint8Array.of(1))
    await storage.flush()
    expect(storage.fault).toMatchObject({ code: 'E_STORAGE' })
    storage.drop('job:b')
    await storage.flush()
    expect(storage.unsaved()).toEqual([])
    await storage.close()
  })
})

test('only this user can read the files', async () => {
  await written()
  expect(statSync(path()).mode & 0o777).toBe(0o600)
})

test('appends of one turn make one write, and none rewrites what is there', async () => {
  const storage = await open()
  storage.append(name, Uint8Array.of(0))
  await storage.flush()
  const { ino } = statSync(path())
  for (let no = 1; no < 1_000; no++) storage.append(name, Uint8Array.of(no & 255))
  await storage.flush()
  expect(statSync(path()).ino).toBe(ino)
  await storage.close()
})
