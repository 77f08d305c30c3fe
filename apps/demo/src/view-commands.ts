import { moved, type View, wholeView, zoomed } from './fractal.ts'

/** The next view for a command of the buttons or the keyboard; `null` when there is no such command. */
export function viewFor(command: string, view: View): View | null {
  switch (command) {
    case 'in':
      return zoomed(view, 0.5)
    case 'out':
      return zoomed(view, 2)
    case 'whole':
      return { ...wholeView, iterations: view.iterations }
    case 'left':
      return moved(view, -0.25, 0)
    case 'right':
      return moved(view, 0.25, 0)
    case 'up':
      return moved(view, 0, -0.25)
    case 'down':
      return moved(view, 0, 0.25)
    default:
      return null
  }
}
