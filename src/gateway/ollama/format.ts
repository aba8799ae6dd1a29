import type { Format } from "../endpoint/Endpoint.ts"
import { engineErrorFields } from "../endpoint/failures.ts"

/** The errors of Ollama's API, also used in streams; the engine's own type and code are separate fields. */
export const ollamaFormat: Format = {
  api: "Ollama",
  error: (failure) => ({ error: failure.message, ...engineErrorFields(failure) })
}
