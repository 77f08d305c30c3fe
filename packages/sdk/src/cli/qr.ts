import { renderUnicodeCompact } from 'uqr'

/** `text` as a QR code of block characters, two rows of modules to a line. */
export function qrCode(text: string): string {
  return renderUnicodeCompact(text)
}
