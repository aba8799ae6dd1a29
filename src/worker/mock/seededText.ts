const words =
  "amber anchor autumn bridge candle canyon copper dawn delta ember fern field forest garden glacier harbor hazel hill island ivory lake lantern maple meadow mist morning oak orchard pebble pine quartz rain reed river sail shore silver sky snow spring star stone summer thunder tide valley violet wave willow wind winter wren".split(
    " "
  )

/** A whole number that the seed and the position decide (the finalizer of MurmurHash3, by Austin Appleby, public domain). */
const mixed = (seed: number, position: number) => {
  let hash = Math.imul(seed ^ Math.imul(position + 1, 0x9e3779b1), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The tokens of a text that the seed alone decides: words, each with a space behind, the last one with a full stop. */
export const seededTokens = (seed: number, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, position) => {
    const word = words[mixed(seed, position) % words.length] ?? ""
    return position === count - 1 ? `${word}.` : `${word} `
  })

/** How many of the tokens stand at the end of the prompt already, because it continues an answer that was interrupted. */
export const tokensWritten = (prompt: string, tokens: ReadonlyArray<string>) => {
  let text = ""
  let written = 0
  for (const [index, token] of tokens.entries()) {
    text += token
    if (prompt.endsWith(text)) written = index + 1
  }
  return written
}
