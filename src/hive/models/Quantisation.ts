import { isFirst } from "../gguf/splitFiles.ts"

/** The quantizations in order of preference when the request names none: small files with little loss come first. */
export const preferred: ReadonlyArray<string> = (
  "Q4_K_M Q4_K_S Q5_K_M Q4_0 IQ4_XS IQ4_NL Q5_K_S Q5_0 Q6_K Q8_0 Q3_K_M " +
  "Q4_K_L Q4_K_XL MXFP4 MXFP4_MOE Q4_1 Q5_K_L Q5_K_XL Q5_1 Q6_K_L Q6_K_XL Q8_K_XL Q3_K_L Q3_K_XL Q3_K_S " +
  "IQ3_M IQ3_S IQ3_XS IQ3_XXS Q2_K_L Q2_K_XL Q2_K Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S TQ2_0 TQ1_0"
).split(" ")

/** The formats without quantization, which are the largest files and the last choice. */
export const unquantised: ReadonlyArray<string> = ["F16", "FP16", "BF16", "F32", "FP32"]

const otherFile = /mmproj|imatrix|(?:^|[._-])(?:lora|vae)(?:[._-]|$)/i
const draftModel = /(?:^|[/._-])(?:draft|mtp)(?:[/._-]|$)/i

const baseName = (file: string) => file.slice(file.lastIndexOf("/") + 1)

/** The first files of models, without draft models for speculative decoding unless there are no others. */
const modelsAmong = (files: ReadonlyArray<string>) => {
  const models = files.filter((file) => isFirst(file) && !otherFile.test(baseName(file)))
  const main = models.filter((file) => !draftModel.test(file))
  return main.length > 0 ? main : models
}

/**
 * Matches paths with the quantization as a separate word, in any case: `q4_k_m` is in
 * `tiny-Q4_K_M.gguf`, in `tiny-UD-Q4_K_M-00001-of-00002.gguf` and in `Q4_K_M/tiny.gguf`; `Q4_K` is in none of them.
 */
export const quantisationPattern = (quantisation: string) =>
  new RegExp(`(?:^|[/._-])${quantisation.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}[/.-]`, "i")

const byLength = (left: string, right: string) => left.length - right.length || (left < right ? -1 : 1)
const shortest = (files: ReadonlyArray<string>) => files.toSorted(byLength)[0]

const choosePreferred = (models: ReadonlyArray<string>) => {
  const best = (words: ReadonlyArray<RegExp>) => {
    for (const word of words) {
      const found = shortest(models.filter((file) => word.test(file)))
      if (found !== undefined) return found
    }
    return undefined
  }
  const large = unquantised.map(quantisationPattern)
  const others = models.filter((file) => !large.some((word) => word.test(file)))
  return best(preferred.map(quantisationPattern)) ?? shortest(others) ?? best(large)
}

/**
 * Chooses a model's file among the files of a repository: the file whose path, name or quantization is the variant, or, without
 * a variant, the preferred quantization. Among several, the shortest path is chosen. Projectors, importance matrices and
 * similar files are found only by their own names.
 */
export const chooseFile = (files: ReadonlyArray<string>, variant: string | undefined): string | undefined => {
  const models = modelsAmong(files)
  if (variant === undefined) return choosePreferred(models)
  const firsts = files.filter(isFirst)
  const word = quantisationPattern(variant)
  const name = variant.toLowerCase()
  const isNamed = (file: string) =>
    [file, baseName(file)].some((text) => [name, `${name}.gguf`].includes(text.toLowerCase()))
  return (
    firsts.find((file) => file === variant) ??
    shortest(firsts.filter(isNamed)) ??
    shortest(models.filter((file) => word.test(file)))
  )
}
