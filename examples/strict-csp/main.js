// A page under a strict Content-Security-Policy: server.mjs says which directives Shoal needs.
import { joinMesh, localMesh } from './shoal.browser.js'

const result = document.querySelector('#result')
try {
  const invite = decodeURIComponent(location.hash.slice(1))
  const mesh = invite === '' ? await localMesh() : await joinMesh(invite)
  const squares = await mesh.map((n) => n * n, [1, 2, 3, 4])
  const place = invite === '' ? 'This page' : 'The room'
  result.textContent = `${place} computed: ${squares.join(' ')}`
} catch (error) {
  result.textContent = `${error.code}: ${error.message}`
}
