import type { ServiceClaim, ServiceEnd, ServiceId, ServiceSpec, Voter } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { asId, asOperationHash, asPeerId, asText, asTuple, asUint, schemaError } from './validate.ts'
import { asFlat, readPayload } from './values.ts'

/*
 * What messages and lanes both say of services.
 */

const durabilities = ['none', 'snapshot', 'journal'] as const
const consistencies = ['available', 'strict'] as const
const endings = ['deleted', 'lost', 'crashing'] as const

export function asServiceId(value: unknown): ServiceId {
  return asId(value, 'a service') as ServiceId
}

export function writeServiceSpec(spec: ServiceSpec): readonly unknown[] {
  const { id, name, operation, args, durability, consistency, every } = spec
  const kept = [durabilities.indexOf(durability), consistencies.indexOf(consistency)]
  return [id, name, operation, args.pack(), ...kept, every]
}

/** @throws ShoalError `E_SCHEMA` */
export function readServiceSpec(value: unknown): ServiceSpec {
  const [id, name, operation, args, durability, consistency, every] = asTuple(value, 7, 'a service')
  return {
    id: asServiceId(id),
    name: name === null ? null : readServiceName(name),
    operation: asOperationHash(operation, 'the class of a service'),
    args: readPayload(args),
    durability: oneOf(durabilities, durability, 'the durability of a service'),
    consistency: oneOf(consistencies, consistency, 'the consistency of a service'),
    every: asUint(every, 'the calls between two snapshots', limits.serviceEntriesMax),
  }
}

export function writeServiceClaim({ epoch, host, follower, voters, end }: ServiceClaim): readonly unknown[] {
  return [
    epoch,
    host,
    follower,
    voters.flatMap((voter) => [voter.peer, voter.epoch]),
    end === null ? null : writeServiceEnd(end),
  ]
}

/** @throws ShoalError `E_SCHEMA` */
export function readServiceClaim(value: unknown): ServiceClaim {
  const [epoch, host, follower, list, end] = asTuple(value, 5, 'the claim of a service')
  const flat = asFlat(list, 2, 'voters')
  if (flat.length > 2 * limits.serviceVotersMax)
    throw schemaError('voters', `a list of at most ${limits.serviceVotersMax}`, list)
  const voters: Voter[] = []
  for (let at = 0; at < flat.length; at += 2) {
    voters.push({ peer: asPeerId(flat[at], 'a voter'), epoch: asUint(flat[at + 1], 'the epoch of a voter') })
  }
  return {
    epoch: asUint(epoch, 'an epoch'),
    host: asPeerId(host, 'the host of a service'),
    follower: follower === null ? null : asPeerId(follower, 'the follower of a service'),
    voters,
    end: end === null ? null : readServiceEnd(end),
  }
}

export function writeServiceEnd(reason: ServiceEnd): number {
  return endings.indexOf(reason)
}

export function readServiceEnd(value: unknown): ServiceEnd {
  return oneOf(endings, value, 'why a service ended')
}

/** @throws ShoalError `E_SCHEMA` */
export function readServiceName(value: unknown): string {
  const name = asText(value, 'the name of a service', limits.idCharsMax)
  if (name === '') throw schemaError('the name of a service', 'at least a character', value)
  return name
}

/** One of a list, by its index. */
export function oneOf<T>(values: readonly T[], index: unknown, where: string): T {
  return values[asUint(index, where, values.length - 1)] as T
}
