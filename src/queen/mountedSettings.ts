import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DaemonAddress } from "../daemon/DaemonAddress.ts"
import type { Prefix } from "../daemon/mountedDaemon.ts"
import { MountPath } from "../daemon/MountPath.ts"
import { Settings } from "../settings/Settings.ts"

const withAddress = Effect.gen(function* () {
  const settings = yield* Settings
  const { host = settings.queen.host, port = settings.queen.port } = yield* DaemonAddress
  return Settings.of({ ...settings, queen: { ...settings.queen, host, port } })
})

/** The settings of a queen that is mounted on an application's server: that server's address in place of its own. */
export const mountedSettings = (prefix: Prefix) =>
  Layer.effect(Settings, withAddress).pipe(
    Layer.provide(DaemonAddress.layerAt(prefix)),
    Layer.merge(Layer.succeed(MountPath, prefix))
  )
