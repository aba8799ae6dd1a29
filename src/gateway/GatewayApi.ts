import { AnthropicApi } from "./anthropic/api.ts"
import { OllamaApi } from "./ollama/api.ts"
import { OpenAiApi } from "./openai/api.ts"

/** The application endpoints. */
export const GatewayApi = OpenAiApi.addHttpApi(AnthropicApi).addHttpApi(OllamaApi)
