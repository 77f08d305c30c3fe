/*
 * SHA-256 (FIPS 180-4), synchronous: WebCrypto's digest is a promise, and `spawn` must know the address
 * of an operation at once. Only for addressing code; keys and proofs use WebCrypto.
 */

const roundConstants = new Uint32Array(64)
const initialState = new Uint32Array(8)

/** First 32 bits of the fraction of a prime's root: where the standard's constants come from. */
function fractionBits(root: number): number {
  return ((root - Math.floor(root)) * 0x1_0000_0000) >>> 0
}

for (let candidate = 2, found = 0; found < 64; candidate++) {
  let isPrime = true
  for (let divisor = 2; divisor * divisor <= candidate; divisor++)
    if (candidate % divisor === 0) isPrime = false
  if (!isPrime) continue
  if (found < 8) initialState[found] = fractionBits(Math.sqrt(candidate))
  roundConstants[found] = fractionBits(Math.cbrt(candidate))
  found += 1
}

/** The hex SHA-256 of a text's UTF-8 bytes. */
export function sha256Hex(text: string): string {
  const bytes = new TextEncoder().encode(text)
  const blocks = (bytes.length + 9 + 63) >> 6
  const padded = new Uint8Array(blocks * 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 0x2000_0000))
  view.setUint32(padded.length - 4, (bytes.length << 3) >>> 0)
  const state = initialState.slice()
  const schedule = new Uint32Array(64)
  for (let block = 0; block < blocks; block++) {
    for (let word = 0; word < 16; word++) schedule[word] = view.getUint32(block * 64 + word * 4)
    mixBlock(state, schedule)
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, '0')).join('')
}

function mixBlock(state: Uint32Array, schedule: Uint32Array): void {
  for (let index = 16; index < 64; index++) {
    const near = schedule[index - 2] as number
    const far = schedule[index - 15] as number
    const small1 = rotate(near, 17) ^ rotate(near, 19) ^ (near >>> 10)
    const small0 = rotate(far, 7) ^ rotate(far, 18) ^ (far >>> 3)
    schedule[index] = small1 + (schedule[index - 7] as number) + small0 + (schedule[index - 16] as number)
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  for (let index = 0; index < 64; index++) {
    const big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const mixed = (schedule[index] as number) + (roundConstants[index] as number)
    const first = (h + big1 + ((e & f) ^ (~e & g)) + mixed) | 0
    const big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const second = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  const mixed = [a, b, c, d, e, f, g, h]
  for (let index = 0; index < 8; index++) state[index] = (state[index] as number) + (mixed[index] as number)
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}
