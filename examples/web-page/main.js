// 2. Use it from your web page: open it with a room's invite after the #.
import { joinMesh } from '@shoal/sdk'

async function countLetters(invite) {
  const mesh = await joinMesh(invite, { workers: 0 })
  const words = ['many', 'browsers', 'one', 'computer']
  return await mesh.map((word) => word.length, words)
}

const result = document.querySelector('#result')
// Not awaited at the top level: the SDK loads more code when it joins, which a waiting entry module would block.
countLetters(decodeURIComponent(location.hash.slice(1))).then(
  (lengths) => {
    result.textContent = `The room counted: ${lengths.join(' ')}`
  },
  (error) => {
    result.textContent = `${error.code}: ${error.message}`
  },
)
