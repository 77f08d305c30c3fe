import { createReadStream, existsSync, statSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join, normalize, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const contentTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
}

const notBuilt = `The room is open, but its page is not built.
In a clone of Shoal: npm start, or npx vite build apps/demo, then reload.
Peers without a page join all the same: shoal join <invite>
`

/** Folder of the built page: beside the package when it was published with one, else the clone's build. */
export function findPage(): string | null {
  const candidates = ['../../page', '../../../../apps/demo/dist']
  const folders = candidates.map((path) => fileURLToPath(new URL(path, import.meta.url)))
  return folders.find((folder) => existsSync(join(folder, 'index.html'))) ?? null
}

/**
 * Answers GET and HEAD requests with the files below `folder`; `null` answers `/` with what to do.
 * @returns `false` when the request is not for the page, so that another handler may answer
 */
export function servePage(
  folder: string | null,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (request.method !== 'GET' && request.method !== 'HEAD') return false
  const path = pathOf(request)
  if (path === null) return false
  if (folder === null) {
    if (path !== '/') return false
    response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8' }).end(notBuilt)
    return true
  }
  const file = normalize(join(folder, path === '/' ? 'index.html' : path))
  if (!file.startsWith(folder + sep) || !(statSync(file, { throwIfNoEntry: false })?.isFile() ?? false)) {
    return false
  }
  response.writeHead(200, headersOf(file, path))
  if (request.method === 'HEAD') response.end()
  else {
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response)
  }
  return true
}

function pathOf(request: IncomingMessage): string | null {
  try {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://page').pathname)
    return path.includes('\0') ? null : path
  } catch {
    return null
  }
}

function headersOf(file: string, path: string): Record<string, string> {
  return {
    'content-type': contentTypes[extname(file)] ?? 'application/octet-stream',
    // Vite puts a hash into every name below assets/.
    'cache-control': path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
}
