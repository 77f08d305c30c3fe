import { startSignalling } from '@shoal/mesh/node'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the tests' pages find a signalling server. */
    signalling: { readonly host: string; readonly port: number }
  }
}

/** Vitest's global set-up of the browser tests: pages cannot listen, so the server runs beside them. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startSignalling()
  project.provide('signalling', { host: server.host, port: server.port })
  return () => server.close()
}
