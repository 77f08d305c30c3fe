import type { Page } from 'playwright'

/** What a first accessibility check finds: one line per fault, empty when there is none. */
export function auditPage(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const faults: string[] = []
    const short = (element: Element): string => element.outerHTML.slice(0, 90)

    const textOf = (ids: string | null): string =>
      (ids ?? '')
        .split(' ')
        .map((id) => document.getElementById(id)?.textContent ?? '')
        .join(' ')
        .trim()
    const nameOf = (element: Element): string => {
      const labels = 'labels' in element ? [...((element as HTMLInputElement).labels ?? [])] : []
      const isField = element.matches('input, select, textarea')
      return [
        textOf(element.getAttribute('aria-labelledby')),
        element.getAttribute('aria-label') ?? '',
        ...labels.map((label) => label.textContent ?? ''),
        isField ? '' : (element.textContent ?? ''),
      ]
        .join('')
        .trim()
    }
    const isShown = (element: Element): boolean => element.checkVisibility({ visibilityProperty: true })

    const controls = document.querySelectorAll(
      'button, input, select, summary, [tabindex], progress, [role=img]',
    )
    for (const element of controls) {
      if (isShown(element) && nameOf(element) === '') faults.push(`no name: ${short(element)}`)
    }
    const ids = [...document.querySelectorAll('[id]')].map((element) => element.id)
    for (const id of ids.filter((id, index) => ids.indexOf(id) !== index)) faults.push(`id twice: ${id}`)
    for (const attribute of ['aria-labelledby', 'aria-describedby', 'for']) {
      for (const element of document.querySelectorAll(`[${attribute}]`)) {
        for (const id of (element.getAttribute(attribute) ?? '').split(' ')) {
          if (document.getElementById(id) === null)
            faults.push(`${attribute} leads nowhere: ${short(element)}`)
        }
      }
    }
    if (document.documentElement.lang === '') faults.push('the page has no language')
    if (document.querySelectorAll('h1').length !== 1) faults.push('the page needs one h1')
    if (document.querySelectorAll('main').length !== 1) faults.push('the page needs one main')
    for (const element of document.querySelectorAll('[tabindex]')) {
      if (Number(element.getAttribute('tabindex')) > 0) faults.push(`tabindex above 0: ${short(element)}`)
    }

    const numbersOf = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number)
    const luminance = (colour: readonly number[]): number => {
      const [red, green, blue] = colour.map((part) => {
        const share = part / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      }) as [number, number, number]
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    const groundOf = (element: Element | null): number[] => {
      for (let at = element; at !== null; at = at.parentElement) {
        const ground = numbersOf(getComputedStyle(at).backgroundColor)
        if (ground.length === 3 || (ground[3] ?? 0) > 0.99) return ground.slice(0, 3)
      }
      return [255, 255, 255]
    }
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const element = node.parentElement
      if (element === null || (node.textContent ?? '').trim() === '' || !isShown(element)) continue
      // What is disabled may be faint.
      if (element.closest(':disabled, script, noscript, .unseen') !== null) continue
      const front = luminance(numbersOf(getComputedStyle(element).color).slice(0, 3))
      const back = luminance(groundOf(element))
      const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05)
      if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(1)}: ${short(element)}`)
    }
    return faults
  })
}

/** Names of what gets the focus, by Tab from the top, at most `count` stops. */
export async function focusOrder(page: Page, count: number): Promise<string[]> {
  const names: string[] = []
  // A click on text is where Tab goes on from.
  await page.getByRole('heading', { level: 1 }).click()
  for (let stop = 0; stop < count; stop += 1) {
    await page.keyboard.press('Tab')
    const name = await page.evaluate(() => {
      const element = document.activeElement
      if (element === null || element === document.body) return null
      const labelled = document.getElementById(element.getAttribute('aria-labelledby') ?? '')?.textContent
      const label =
        'labels' in element ? (element as HTMLInputElement).labels?.[0]?.firstChild?.textContent : null
      const name = labelled ?? element.getAttribute('aria-label') ?? label ?? element.textContent ?? ''
      return name.trim()
    })
    if (name === null) break
    names.push(name)
  }
  return names
}
