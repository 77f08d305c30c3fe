import type { LinkChannel } from '@shoal/scheduler'
import { ShoalError } from '@shoal/scheduler'
import { MESSAGE_BYTES_MAX } from './limits.ts'

export function tooLarge(sizeBytes: number, sizeBytesMax: number = MESSAGE_BYTES_MAX): ShoalError {
  return new ShoalError(
    'E_TOO_LARGE',
    `Cannot send a message as its size must be at most ${sizeBytesMax} bytes: current value is ${sizeBytes}`,
    { data: { sizeBytes, sizeBytesMax } },
  )
}

export function dialError(address: string, channel: LinkChannel, reason: string): ShoalError {
  return new ShoalError('E_DIAL', `Cannot open a ${channel} link to "${address}": ${reason}`, {
    data: { address, channel, reason },
  })
}
