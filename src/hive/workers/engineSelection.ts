import * as Result from "effect/Result"
import {
  type Capabilities,
  type Capability,
  CapabilityMissing,
  canReplace,
  missingCapability,
  missingEverywhere
} from "../../operation/Capabilities.ts"
import { type Engine, EngineNotInstalled, EngineRefusesModel } from "../engines/Engine.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"

/** An engine that can serve a model, and what its workers can do with the model. */
export interface ServingEngine {
  readonly name: string
  readonly capabilities: Capabilities
}

/** The engines that can serve a model's file, the default engine first. */
export const enginesFor = (
  installed: ReadonlyMap<string, Engine>,
  defaultEngine: string,
  path: string,
  traits: ModelTraits
): ReadonlyArray<ServingEngine> =>
  [...installed.values()]
    .filter(({ missing, refuses }) => missing === undefined && refuses?.(path) === undefined)
    .sort((left, right) => Number(right.name === defaultEngine) - Number(left.name === defaultEngine))
    .map(({ capabilities, name }) => ({ name, capabilities: capabilities?.(traits) ?? {} }))

/** The engine that takes the place of the first one, when the first lacks a capability; absent when it lacks none. */
export const replacementFor = (
  capabilities: ReadonlyArray<Capability>,
  [first, ...others]: ReadonlyArray<ServingEngine>,
  model: string
): Result.Result<string | undefined, CapabilityMissing> => {
  const lacking = missingCapability(capabilities, first?.capabilities)
  if (first === undefined || lacking === undefined) return Result.succeed(undefined)
  const able = others.find((one) => canReplace(capabilities, first.capabilities, one.capabilities))
  if (able !== undefined) return Result.succeed(able.name)
  const capability = missingEverywhere(capabilities, [first, ...others]) ?? lacking
  return Result.fail(new CapabilityMissing({ model, capability }))
}

/** Refuses an engine that is not installed. */
export const checkInstalled = (engine: Engine | undefined): Result.Result<void, EngineNotInstalled> =>
  engine?.missing === undefined
    ? Result.void
    : Result.fail(
        new EngineNotInstalled({ engine: engine.name, reason: engine.missing, install: engine.install })
      )

/** Refuses a model that the engine cannot serve, or cannot serve with the model's own chat template. */
export const checkServable = (
  engine: Engine | undefined,
  model: { readonly id: string; readonly path: string; readonly chatTemplate: string | undefined }
): Result.Result<void, EngineRefusesModel> => {
  const reason =
    engine?.refuses?.(model.path) ??
    (model.chatTemplate !== undefined && engine?.chatTemplates !== true
      ? "the model has a chat template of its own, which this engine cannot be given"
      : undefined)
  return reason === undefined
    ? Result.void
    : Result.fail(new EngineRefusesModel({ engine: engine?.name ?? "", model: model.id, reason }))
}
