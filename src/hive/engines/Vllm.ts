import { onlyCapabilities } from "../../operation/Capabilities.ts"
import type { ProgramSetting } from "../../settings/EngineSettings.ts"
import { type Engine, onlyDevice } from "./Engine.ts"

/** The loading progress in vLLM's log: `Loading safetensors checkpoint shards:  50% Completed | 2/4`. */
export const loadedIn = (line: string) => {
  const percent = /Loading .*shards:\s+(\d{1,3})% Completed/.exec(line)?.[1]
  return percent === undefined ? undefined : Number(percent)
}

/** How many requests run or wait, from the body of `/metrics`: `vllm:num_requests_running{…} 2.0`. */
export const runningIn = (metrics: string) => {
  const counts = [...metrics.matchAll(/^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? ([\d.e+]+)$/gm)]
  return counts.length === 0 ? undefined : counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** vLLM, by its command `vllm serve` (docs.vllm.ai, CLI reference). It needs a GPU. */
export const makeVllm = (name: string, program: string | undefined, setting: ProgramSetting): Engine => ({
  name,
  cancellation: { _tag: "Disconnect", activity: { path: "/metrics", running: runningIn } },
  backends: program === undefined ? [] : ["cuda", "rocm"],
  install: `install vLLM so that vllm is on the PATH, or set program in [engines.${name}] of config.toml`,
  ...(program === undefined ? { missing: "vllm is not on the PATH" } : {}),
  readyPath: "/health",
  loaded: loadedIn,
  chatTemplates: true,
  capabilities: () =>
    setting.capabilities === undefined
      ? (setting.args ?? []).includes("--enable-auto-tool-choice")
        ? { tools: true }
        : {}
      : onlyCapabilities(setting.capabilities),
  refuses: (modelPath) =>
    /-\d{5}-of-\d{5}\.gguf$/i.test(modelPath) ? "it supports GGUF models in a single file only" : undefined,
  command: (spec, port) => ({
    command: program ?? "vllm",
    args: [
      "serve",
      spec.modelPath,
      "--served-model-name",
      spec.model,
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
      "--max-model-len",
      String(spec.contextSize),
      "--max-num-seqs",
      String(spec.parallel),
      ...(spec.chatTemplate === undefined ? [] : ["--chat-template", spec.chatTemplate]),
      ...(setting.args ?? [])
    ],
    env: { ...onlyDevice(spec), ...setting.env }
  })
})
