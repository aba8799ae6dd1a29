const charactersPerToken = 4
const maxCharactersPerToken = 5

/** The tokens of a text of so many characters, estimated where no tokenizer is at hand. */
export const estimateTokens = (characters: number) => Math.ceil(characters / charactersPerToken)

/** A lower estimate, which few texts fall below: for decisions that must not exclude a text that fits. */
export const minTokens = (characters: number) => Math.ceil(characters / maxCharactersPerToken)
