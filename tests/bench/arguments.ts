/** What `npm run bench -- ...` asks for. */
export interface Selection {
  readonly ids: ReadonlySet<string> | null
  readonly place: string | null
  /** Repetitions of each pair. */
  readonly pairs: number
  readonly isQuick: boolean
  /** Sizes of B5, in MiB. */
  readonly sizesMiB: readonly number[]
  /** Compare with Piscina and Comlink as well. */
  readonly hasPeers: boolean
  readonly isJson: boolean
}

export function select(argv: readonly string[]): Selection {
  const flags = new Set(argv.filter((arg) => arg.startsWith('--')))
  const textOf = (flag: string): string | null => {
    const at = argv.indexOf(flag)
    return at === -1 ? null : (argv[at + 1] ?? null)
  }
  const taken = new Set([textOf('--place'), textOf('--pairs'), textOf('--mib')])
  const ids = argv.filter((arg) => !arg.startsWith('--') && !taken.has(arg)).flatMap((arg) => arg.split(','))
  const isQuick = flags.has('--quick')
  return {
    ids: ids.length === 0 ? null : new Set(ids.map((id) => (id === 'B1a' ? 'B1' : id))),
    place: textOf('--place'),
    pairs: Number(textOf('--pairs') ?? (isQuick ? 5 : 15)),
    isQuick,
    sizesMiB: (textOf('--mib') ?? (isQuick ? '1,16' : '1,16,64')).split(',').map(Number),
    hasPeers: flags.has('--peers') || !isQuick,
    isJson: flags.has('--json'),
  }
}

export function isChosen({ ids, place }: Selection, id: string, at: string): boolean {
  return (ids === null || ids.has(id)) && (place === null || place === at)
}
