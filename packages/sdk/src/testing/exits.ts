import { localMesh } from '../node.ts'

// A program that uses a mesh, closes it, and has nothing else to do.
const mesh = await localMesh({ workers: 1 })
const sum = await mesh.spawn((a: number, b: number) => a + b, 20, 22)
const failed = mesh.spawn(() => {
  throw new Error('nobody asks')
})
await failed.wait()
await mesh.close()
console.log(`sum ${sum}`)
