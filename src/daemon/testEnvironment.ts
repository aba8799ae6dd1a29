import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Layer from "effect/Layer"
import { Token } from "../access/Token.ts"
import { Paths } from "../settings/Paths.ts"
import { type SettingChanges, Settings } from "../settings/Settings.ts"

/** The environment of a daemon in a test: default settings with the given changes, no token, temporary folders. */
export const testEnvironment = (changes: SettingChanges) =>
  Layer.merge(Settings.layerDefaults(changes), Token.layerMemory()).pipe(
    Layer.provideMerge(Paths.layerTemporary),
    Layer.provideMerge(NodeServices.layer)
  )
