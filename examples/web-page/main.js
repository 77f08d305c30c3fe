// 2. Use it from your web page: open it with a room's invite after the #.
import { joinMesh } from '@shoal/sdk'

const result = document.querySelector('#result')
try {
  const mesh = await joinMesh(decodeURIComponent(location.hash.slice(1)), { workers: 0 })
  const words = ['many', 'browsers', 'one', 'computer']
  const lengths = await mesh.map((word) => word.length, words)
  result.textContent = `The room counted: ${lengths.join(' ')}`
} catch (error) {
  result.textContent = `${error.code}: ${error.message}`
}
