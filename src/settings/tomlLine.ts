const partForm = /"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+/g

const partsOf = (key: string) => (key.match(partForm) ?? []).map((part) => part.replace(/^["']|["']$/g, ""))

/** How many leading parts of a setting's key stand in a key of the document. */
const sharedParts = (written: ReadonlyArray<string>, wanted: ReadonlyArray<string>) => {
  const differing = wanted.findIndex((part, index) => part !== written[index])
  return differing === -1 ? wanted.length : differing
}

/**
 * The line of a TOML document, from 1, that sets a key such as `queen.port`: the line of the key itself, else of the table that
 * has it. Undefined when neither is found.
 */
export const tomlLine = (document: string, key: string): number | undefined => {
  const wanted = key.split(".")
  let table: ReadonlyArray<string> = []
  let line: number | undefined
  let best = 0
  for (const [index, text] of document.split("\n").entries()) {
    const header = /^\s*\[\[?([^\]]+)\]/.exec(text)?.[1]
    const name = /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_.\s-])+?)\s*=/.exec(text)?.[1]
    if (header !== undefined) table = partsOf(header)
    else if (name === undefined) continue
    const written = name === undefined || header !== undefined ? table : [...table, ...partsOf(name)]
    const shared = sharedParts(written, wanted)
    const isOfKey = shared === wanted.length || shared === written.length
    if (!isOfKey || shared <= best) continue
    best = shared
    line = index + 1
  }
  return line
}
