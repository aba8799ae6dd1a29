import { onlyCapabilities } from "../../operation/Capabilities.ts"
import type { TemplateSetting } from "../../settings/EngineSettings.ts"
import { type Engine, onlyDevice } from "./Engine.ts"
import type { WorkerSpec } from "./WorkerSpec.ts"

const valuesOf = (spec: WorkerSpec, port: number): Readonly<Record<string, string>> => ({
  model: spec.modelPath,
  model_id: spec.model,
  port: String(port),
  device: spec.backend === "cpu" ? "cpu" : String(spec.device),
  context: String(spec.contextSize),
  parallel: String(spec.parallel),
  chat_template: spec.chatTemplate ?? "",
  threads: String(spec.threads)
})

/** An engine from the settings: a command whose placeholders are replaced word by word. */
export const makeTemplate = (name: string, setting: TemplateSetting): Engine => ({
  name,
  cancellation: { _tag: "Disconnect" },
  backends: setting.backends ?? ["cpu"],
  install: `add the backend to [engines.${name}] of config.toml, if its program can use it`,
  chatTemplates: setting.command.some((word) => word.includes("{chat_template}")),
  readyPath: setting.ready ?? "/health",
  capabilities: () => (setting.capabilities === undefined ? {} : onlyCapabilities(setting.capabilities)),
  command: (spec, port) => {
    const values = valuesOf(spec, port)
    const [program, ...args] = setting.command.map((word) =>
      word.replace(/\{([a-z_]+)\}/g, (placeholder, name: string) => values[name] ?? placeholder)
    )
    return { command: program ?? "", args, env: { ...onlyDevice(spec), ...setting.env } }
  }
})
