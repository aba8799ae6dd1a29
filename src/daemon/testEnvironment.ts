import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Layer from "effect/Layer"
import { Token } from "../access/Token.ts"
import { Paths } from "../settings/Paths.ts"
import { type SettingChanges, Settings } from "../settings/Settings.ts"

/** What a daemon in a test gets in place of the machine's: default settings besides the changes, no token, temporary folders. */
export const testEnvironment = (changes: SettingChanges) =>
  Layer.merge(Settings.layerDefaults(changes), Token.layerMemory()).pipe(
    Layer.provideMerge(Paths.layerTemporary),
    Layer.provideMerge(NodeServices.layer)
  )
