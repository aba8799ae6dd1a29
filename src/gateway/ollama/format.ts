import type { Format } from "../endpoint/Endpoint.ts"
import { engineWords } from "../endpoint/failures.ts"

/** The errors of Ollama's API, as they also stand in streams; an engine's own type and code stand beside its sentence. */
export const ollamaFormat: Format = {
  api: "Ollama",
  error: (failure) => ({ error: failure.message, ...engineWords(failure) })
}
