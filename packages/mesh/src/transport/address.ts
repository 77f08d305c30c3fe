import { ShoalError } from '@shoal/scheduler'

const ROOM_NAME = /^[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*$/
const ADDRESS_SUFFIX = /^[a-z0-9]{16}$/
const ROOM_CHARS_MAX = 64

/** Whether `room` can prefix an address: letters and digits, single `-` or `_` between them, at most 64. */
export function isRoomName(room: string): boolean {
  return room.length <= ROOM_CHARS_MAX && ROOM_NAME.test(room)
}

/**
 * A fresh address in `room`. Addresses say where to dial; they identify nobody.
 * @throws ShoalError `E_OPTION` when `room` is no room name
 */
export function createAddress(room: string): string {
  if (!isRoomName(room)) {
    throw new ShoalError(
      'E_OPTION',
      `Cannot enter the room as its name must be 1 to ${ROOM_CHARS_MAX} letters and digits with single dashes: current value is "${room}"`,
    )
  }
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return `${room}-${Array.from(bytes, (byte) => (byte % 36).toString(36)).join('')}`
}

/** The room that `address` belongs to, or `null` when it is no address. */
export function roomOf(address: string): string | null {
  const at = address.lastIndexOf('-')
  if (at < 1 || !ADDRESS_SUFFIX.test(address.slice(at + 1))) return null
  const room = address.slice(0, at)
  return isRoomName(room) ? room : null
}
