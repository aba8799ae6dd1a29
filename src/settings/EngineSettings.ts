import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Capability } from "../operation/Capabilities.ts"
import type { SettingCodec } from "./settingCodecs.ts"

/** What may stand in the words of a command: replaced when a worker is started. */
export const placeholders = ["model", "model_id", "port", "device", "context", "parallel", "threads"] as const

const isKnown = (name: string) => placeholders.some((known) => known === name)

const Word = Schema.String.check(
  Schema.makeFilter((word: string) =>
    [...word.matchAll(/\{([a-z_]+)\}/g)].every(([, name = ""]) => isKnown(name))
      ? undefined
      : `has a placeholder that is none of ${placeholders.map((name) => `{${name}}`).join(" ")}`
  )
)

const Backends = Schema.NonEmptyArray(Schema.Literals(["cuda", "rocm", "metal", "vulkan", "cpu"]))
const Environment = Schema.Record(Schema.String, Schema.String)

/** A program that speaks the OpenAI API, started by a command of the owner's. */
export const TemplateSetting = Schema.Struct({
  /** The program and its words; never a shell. */
  command: Schema.NonEmptyArray(Word),
  /** Through what it computes; the CPU when it is not said. */
  backends: Schema.optionalKey(Backends),
  /** The path that answers 200 when the model is loaded. */
  ready: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\/[\w./-]{0,200}$/))),
  env: Schema.optionalKey(Environment),
  /** What its workers can do, and nothing else; not known when it is not said. */
  capabilities: Schema.optionalKey(Schema.Array(Capability))
})
export type TemplateSetting = typeof TemplateSetting.Type

/** A program that rbee knows how to start. */
export const ProgramSetting = Schema.Struct({
  /** Its file, when it is not on the PATH. */
  program: Schema.optionalKey(Schema.NonEmptyString),
  /** Words that are added to its command line. */
  args: Schema.optionalKey(Schema.Array(Schema.String)),
  env: Schema.optionalKey(Environment),
  /** What its workers can do, and nothing else; not known when it is not said. */
  capabilities: Schema.optionalKey(Schema.Array(Capability))
})
export type ProgramSetting = typeof ProgramSetting.Type

/** An engine of `config.toml`, `[engines.NAME]`. */
export type EngineSetting = ProgramSetting | TemplateSetting

const Table = Schema.Record(
  Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9._-]{0,63}$/)),
  Schema.Union([TemplateSetting, ProgramSetting])
)
const decode = Schema.decodeUnknownOption(Table, { onExcessProperty: "error" })

/** Whether the setting is a command of the owner's. */
export const isTemplate = (setting: EngineSetting): setting is TemplateSetting => "command" in setting

/** Reads the tables `[engines.NAME]`. */
export const engineTable: SettingCodec<Readonly<Record<string, EngineSetting>>> = {
  expected:
    "tables [engines.NAME] with program, args, env and capabilities, or with command (a list of words that may have " +
    `${placeholders.map((name) => `{${name}}`).join(" ")}), backends, ready, env and capabilities (of ${Capability.literals.join(", ")})`,
  read: (raw) => (typeof raw === "string" ? Option.none() : decode(raw))
}
