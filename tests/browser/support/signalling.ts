import { createNodeTransport, startSignalling } from '@shoal/mesh/node'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the tests' pages find a signalling server. */
    signalling: { readonly host: string; readonly port: number }
    /** A Node peer in a room of its own: it echoes messages, and dials back whoever says so. */
    echo: { readonly room: string; readonly address: string }
  }
}

/** Vitest's global set-up of the browser tests: pages cannot listen, so the server runs beside them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startSignalling()
  const signalling = { host: server.host, port: server.port }
  const room = 'node-echo'
  const echo = createNodeTransport({ signalling, room, loopback: true })
  echo.onLink((link) => {
    link.onMessage((message) => {
      if (new TextDecoder().decode(message.subarray(0, 9)) !== 'dial back') link.send(message)
      else echo.dial(link.remoteAddress, 'bulk').then((back) => back.send(message), link.close)
    })
  })
  project.provide('signalling', signalling)
  project.provide('echo', { room, address: echo.address })
  return async () => {
    await echo.close()
    await server.close()
  }
}
