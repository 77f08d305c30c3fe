import { type Command, helpOf, parseArguments } from './command.ts'
import { doctor } from './doctor.ts'
import { failureLine } from './failure.ts'
import { join } from './join.ts'
import { run } from './run.ts'
import { status } from './status.ts'
import type { Terminal } from './terminal.ts'
import { up } from './up.ts'
import { version } from './version.ts'

const commands: readonly Command[] = [up, join, run, status, doctor]

/**
 * Runs `shoal` with the arguments after the program's name.
 * @returns the exit code: 0 done, 1 failed, 2 wrong command line
 */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    await terminal.print(overview())
    return 0
  }
  if (name === '--version' || name === 'version') {
    await terminal.print(version())
    return 0
  }
  const command = commands.find((candidate) => candidate.name === name)
  if (command === undefined) {
    const known = commands.map((candidate) => candidate.name).join(', ')
    terminal.note(
      `shoal: E_USAGE: Cannot run "${name}" as it is none of the commands: ${known}. To fix: shoal --help`,
    )
    return 2
  }
  return await runCommand(command, rest, terminal)
}

async function runCommand(command: Command, argv: readonly string[], terminal: Terminal): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    await terminal.print(helpOf(command))
    return 0
  }
  try {
    return await command.run(parseArguments(command, argv), terminal)
  } catch (error) {
    // Whoever stopped the command knows why it ended early.
    if (terminal.stop.aborted) return 130
    terminal.note(failureLine(error, argv.includes('--json')))
    return (error as { code?: unknown } | null)?.code === 'E_USAGE' ? 2 : 1
  }
}

function overview(): string {
  const lines = commands.map(
    (command) => `  ${`${command.name} ${command.usage}`.padEnd(32)} ${command.summary}`,
  )
  return ['Usage: shoal <command>', '', ...lines, '', 'shoal <command> --help says more.'].join('\n')
}
