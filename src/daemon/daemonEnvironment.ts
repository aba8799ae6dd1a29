import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Layer from "effect/Layer"
import { Token } from "../access/Token.ts"
import { Paths } from "../settings/Paths.ts"
import { type SettingChanges, type SettingOverrides, Settings } from "../settings/Settings.ts"

/** The settings, token and folders of a daemon, with settings that override environment and file. */
export const daemonEnvironment = (overrides: SettingOverrides, tokenFile: string | undefined) =>
  Layer.merge(Settings.layerWith(overrides), Token.layerWith(tokenFile)).pipe(
    Layer.provideMerge(Paths.layer),
    Layer.provideMerge(NodeServices.layer)
  )

/** The environment of a daemon in a test: default settings with the given changes, no store, no token, temporary folders. */
export const testEnvironment = (changes: SettingChanges) =>
  Layer.merge(
    Settings.layerDefaults({ ...changes, storage: { sync: "off", ...changes.storage } }),
    Token.layerMemory()
  ).pipe(Layer.provideMerge(Paths.layerTemporary), Layer.provideMerge(NodeServices.layer))
