// 3. Use it from Node: node main.mjs counts primes on this machine; node main.mjs <invite> in a room.
import { joinMesh, localMesh } from '@shoal/sdk'

/** Self-contained: it travels to the peers as text. */
function countPrimes(from, to) {
  let count = 0
  for (let n = Math.max(2, from); n < to; n += 1) {
    let isPrime = true
    for (let d = 2; d * d <= n && isPrime; d += 1) isPrime = n % d !== 0
    if (isPrime) count += 1
  }
  return count
}

const invite = process.argv[2]
const mesh = invite === undefined ? await localMesh() : await joinMesh(invite, { workers: 0 })
const parts = Array.from({ length: 20 }, (_, part) =>
  mesh.spawn(countPrimes, part * 5_000, (part + 1) * 5_000),
)
const counts = await mesh.all(parts)
console.log(`${counts.reduce((sum, count) => sum + count, 0)} primes below 100000`)
await mesh.close()
