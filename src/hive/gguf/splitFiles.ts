const numbering = /-(\d{5})-of-(\d{5})(\.gguf)$/i

/** Whether a name is that of a GGUF file that a worker can load: of a split model, only the first part. */
export const isFirst = (file: string) => {
  if (!/\.gguf$/i.test(file)) return false
  const [, part] = numbering.exec(file) ?? []
  return part === undefined || Number(part) === 1
}

/** All files of a split model in order, given its first; for any other model, only the given file. */
export const partsOf = (first: string): readonly [string, ...ReadonlyArray<string>] => {
  const [ending, , count, extension = ""] = numbering.exec(first) ?? []
  if (ending === undefined || count === undefined) return [first]
  const start = first.slice(0, -ending.length)
  const others = Array.from(
    { length: Math.max(0, Number(count) - 1) },
    (_, index) => `${start}-${String(index + 2).padStart(5, "0")}-of-${count}${extension}`
  )
  return [first, ...others]
}

/** The first file of the split model to which a later part belongs; undefined when the file is not a later part. */
export const firstPartOf = (file: string): string | undefined => {
  const [ending, part, count, extension = ""] = numbering.exec(file) ?? []
  if (ending === undefined || Number(part) < 2) return undefined
  return `${file.slice(0, -ending.length)}-00001-of-${count}${extension}`
}
