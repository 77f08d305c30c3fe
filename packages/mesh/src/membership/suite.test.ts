import { afterEach, expect, test, vi } from 'vitest'
import { fromHex, toHex } from './bytes.ts'
import { nobleSuite } from './suite.noble.ts'
import { cryptoSuite } from './suite.ts'
import { webSuite } from './suite.web.ts'

const text = new TextEncoder().encode('what both sides sign')
const seed = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')

test('cryptoSuite() is WebCrypto where there is one', async () => {
  expect(await cryptoSuite()).toBe(webSuite)
})

afterEach(() => {
  vi.unstubAllGlobals()
  vi.resetModules()
})

test('cryptoSuite() does without WebCrypto, as pages on plain http must', async () => {
  const getRandomValues = crypto.getRandomValues.bind(crypto)
  vi.stubGlobal('crypto', { getRandomValues })
  vi.resetModules()
  const fresh = await import('./crypto.ts')
  const identity = await fresh.createIdentity()
  const keys = await fresh.memberKeys(seed)
  vi.unstubAllGlobals()
  expect(await webSuite.verify(identity.publicKey, await identity.sign(text), text)).toBe(true)
  expect(keys.member).toEqual(await webSuite.hkdf(seed, 'shoal v1 member', 32))
})

test('keyPair() gives the pair that RFC 8032 gives for its first secret', async () => {
  const { publicKey } = await webSuite.keyPair(seed)
  expect(toHex(publicKey)).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
})

test('both suites agree in every primitive, so that their peers can link', async () => {
  for (const suite of [webSuite, nobleSuite]) {
    expect(await suite.sha256(text)).toEqual(await webSuite.sha256(text))
    expect(await suite.hmac(seed, text)).toEqual(await webSuite.hmac(seed, text))
    expect(await suite.hkdf(seed, 'label', 16)).toEqual(await webSuite.hkdf(seed, 'label', 16))
    expect((await suite.keyPair(seed)).publicKey).toEqual((await webSuite.keyPair(seed)).publicKey)
  }
  for (const [signer, checker] of [
    [webSuite, nobleSuite],
    [nobleSuite, webSuite],
  ] as const) {
    const { publicKey, sign } = await signer.keyPair(null)
    const signature = await sign(text)
    expect(await checker.verify(publicKey, signature, text)).toBe(true)
    expect(await checker.verify(publicKey, signature, text.subarray(1))).toBe(false)
    expect(await checker.verify(publicKey, signature.subarray(1), text)).toBe(false)
    expect(await checker.verify(publicKey.subarray(1), signature, text)).toBe(false)
  }
})
