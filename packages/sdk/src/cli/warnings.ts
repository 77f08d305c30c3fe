/**
 * Node 20 warns that Ed25519 in WebCrypto is experimental each time a peer joins. That one warning is dropped; all
 * others are shown as Node shows them.
 */
export function silenceEd25519Warning(): void {
  const emit = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = (...args: unknown[]): void => {
    const [warning] = args
    if (`${warning instanceof Error ? warning.message : warning}`.includes('Ed25519')) return
    emit(...args)
  }
}
