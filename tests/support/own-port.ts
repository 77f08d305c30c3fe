import { ShoalError } from '@shoal/scheduler'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'

/** Ports that no system gives to those who ask for any: Linux starts at 32,768, others above. */
const first = 20_000
const count = 12_000

/**
 * Opens a room that can be closed and opened again on its port: of those who ask for any port meanwhile (each
 * Node peer does, for its lines) none gets this one.
 */
export async function hostOnOwnPort(dataDir: string): Promise<RoomHost> {
  const start = Math.floor(Math.random() * count)
  for (let tried = 0; ; tried++) {
    const port = first + ((start + tried) % count)
    try {
      return await hostRoom({ page: false, port, dataDir })
    } catch (error) {
      if (!(error instanceof ShoalError) || error.code !== 'E_LISTEN' || tried >= 100) throw error
    }
  }
}
