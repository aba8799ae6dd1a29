import type { Format } from "../Door.ts"
import { engineWords } from "../failures.ts"

/** The errors of Ollama's API, as they also stand in streams; an engine's own type and code stand beside its sentence. */
export const ollamaFormat: Format = {
  api: "Ollama",
  error: (failure) => ({ error: failure.message, ...engineWords(failure) })
}
