import * as Schema from "effect/Schema"
import { Capability } from "../operation/Capabilities.ts"

/** The placeholders of a command, which are replaced when a worker is started. */
export const placeholders = ["model", "model_id", "port", "device", "context", "parallel", "threads"] as const

const isKnown = (name: string) => placeholders.some((known) => known === name)

const Word = Schema.String.check(
  Schema.makeFilter((word: string) =>
    [...word.matchAll(/\{([a-z_]+)\}/g)].every(([, name = ""]) => isKnown(name))
      ? undefined
      : `has a placeholder other than ${placeholders.map((name) => `{${name}}`).join(" ")}`
  )
)

const Backends = Schema.NonEmptyArray(Schema.Literals(["cuda", "rocm", "metal", "vulkan", "cpu"]))
const Environment = Schema.Record(Schema.String, Schema.String)

/** An engine started by a custom command, with an OpenAI-compatible API. */
export const TemplateSetting = Schema.Struct({
  /** The program and its arguments, run without a shell. */
  command: Schema.NonEmptyArray(Word),
  /** The backends; by default the CPU. */
  backends: Schema.optionalKey(Backends),
  /** The path that returns 200 once the model is loaded. */
  ready: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\/[\w./-]{0,200}$/))),
  env: Schema.optionalKey(Environment),
  /** The complete list of its workers' capabilities; unknown when absent. */
  capabilities: Schema.optionalKey(Schema.Array(Capability))
})
export type TemplateSetting = typeof TemplateSetting.Type

/** An engine that rbee starts itself. */
export const ProgramSetting = Schema.Struct({
  /** The path of the program, if it is not on the PATH. */
  program: Schema.optionalKey(Schema.NonEmptyString),
  /** Additional arguments. */
  args: Schema.optionalKey(Schema.Array(Schema.String)),
  env: Schema.optionalKey(Environment),
  /** The complete list of its workers' capabilities; unknown when absent. */
  capabilities: Schema.optionalKey(Schema.Array(Capability))
})
export type ProgramSetting = typeof ProgramSetting.Type

/** An engine of `config.toml`, `[engines.NAME]`. */
export type EngineSetting = ProgramSetting | TemplateSetting

/** The tables `[engines.NAME]`. */
export const EngineTable = Schema.Record(
  Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9._-]{0,63}$/)),
  Schema.Union([TemplateSetting, ProgramSetting])
).annotate({
  expected:
    "tables [engines.NAME] with program, args, env and capabilities, or with command (a list of words that may contain " +
    `${placeholders.map((name) => `{${name}}`).join(" ")}), backends, ready, env and capabilities (of ${Capability.literals.join(", ")})`
})

/** Whether the engine is started by a custom command. */
export const isTemplate = (setting: EngineSetting): setting is TemplateSetting => "command" in setting
