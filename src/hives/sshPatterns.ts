/** Whether a word of a `Host` line is a pattern instead of a name. */
export const isPattern = (word: string) => /[*?!]/.test(word)

/** Whether a pattern with `*` and `?` matches a name, in bounded time; a regular expression could take exponential time. */
export const matches = (pattern: string, name: string) => {
  let [at, index, star, taken] = [0, 0, -1, 0]
  while (index < name.length) {
    if (pattern[at] === "*") {
      star = at++
      taken = index
    } else if (pattern[at] === "?" || pattern[at] === name[index]) {
      at++
      index++
    } else if (star >= 0) {
      at = star + 1
      index = ++taken
    } else return false
  }
  return /^\**$/.test(pattern.slice(at))
}

/** Whether a list of patterns applies to a name. A match of a pattern with `!` excludes it. */
export const applies = (patterns: ReadonlyArray<string>, name: string) =>
  patterns.some((pattern) => !pattern.startsWith("!") && matches(pattern, name)) &&
  !patterns.some((pattern) => pattern.startsWith("!") && matches(pattern.slice(1), name))
