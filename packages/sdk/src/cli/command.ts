import { parseArgs } from 'node:util'
import { ShoalError } from '@shoal/scheduler'
import type { Terminal } from './terminal.ts'

/** One command of `shoal`. */
export interface Command {
  readonly name: string
  /** What follows the name in its usage line. */
  readonly usage: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Its own flags; every command has `--json` and `--help` too. */
  readonly flags: Readonly<Record<string, Flag>>
  /** @returns the exit code */
  run(args: Arguments, terminal: Terminal): Promise<number>
}

export interface Flag {
  readonly type: 'string' | 'boolean'
  readonly help: string
}

/** Parsed arguments of a command. */
export interface Arguments {
  readonly positionals: readonly string[]
  readonly isJson: boolean
  has(flag: string): boolean
  text(flag: string): string | undefined
  /** @throws {ShoalError} `E_USAGE` unless it is a whole number from `min` to `max` */
  integer(flag: string, min: number, max: number): number | undefined
}

const shared: Readonly<Record<string, Flag>> = {
  json: { type: 'boolean', help: 'print JSON, one record per line' },
  help: { type: 'boolean', help: 'print this help' },
}

/**
 * Parses what follows the command's name.
 * @throws {ShoalError} `E_USAGE` on an unknown flag or a value that is missing
 */
export function parseArguments(command: Command, argv: readonly string[]): Arguments {
  const flags = { ...command.flags, ...shared }
  let parsed: { values: Record<string, string | boolean | undefined>; positionals: string[] }
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: Object.fromEntries(Object.entries(flags).map(([name, { type }]) => [name, { type }])),
    })
  } catch (error) {
    throw usageError((error as Error).message.split('. ')[0] ?? '', command)
  }
  const { values, positionals } = parsed
  const text = (flag: string): string | undefined => {
    const value = values[flag]
    return typeof value === 'string' ? value : undefined
  }
  return {
    positionals,
    isJson: values['json'] === true,
    has: (flag) => values[flag] === true,
    text,
    integer(flag, min, max) {
      const value = text(flag)
      if (value === undefined) return undefined
      const number = Number(value)
      if (value.trim() !== '' && Number.isInteger(number) && number >= min && number <= max) return number
      throw usageError(
        `--${flag} must be a whole number from ${min} to ${max}: current value is "${value}"`,
        command,
      )
    },
  }
}

/**
 * The invite that a command needs: its one positional, else the environment's, which other users of the machine
 * cannot read in a list of processes.
 */
export function inviteOf(args: Arguments, command: Command): string {
  const invite = args.positionals[0] ?? process.env['SHOAL_INVITE']
  if (invite !== undefined && args.positionals.length <= 1) return invite
  throw usageError(`one invite is needed: ${args.positionals.length} given`, command)
}

/** A wrong command line. */
export function usageError(reason: string, command: Command): ShoalError {
  return new ShoalError('E_USAGE', `Cannot run shoal ${command.name} as ${reason}`, {
    data: { fix: `shoal ${command.name} --help` },
  })
}

/** The help text of one command. */
export function helpOf(command: Command): string {
  const flags = Object.entries({ ...command.flags, ...shared }).map(
    ([name, { type, help }]) => `  --${(type === 'string' ? `${name} <value>` : name).padEnd(20)} ${help}`,
  )
  return [`Usage: shoal ${command.name} ${command.usage}`.trimEnd(), '', command.summary, '', ...flags].join(
    '\n',
  )
}
