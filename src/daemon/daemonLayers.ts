import type * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { SettingChanges, SettingOverrides } from "../settings/Settings.ts"
import { isolated } from "./Daemon.ts"
import type { Prefix } from "./mountedDaemon.ts"

/** The parts of a daemon's layers. */
export interface DaemonParts<S, B, E1, R1, E2, R2, A3, E3, R3, A4, E4, R4> {
  /** The daemon with an HTTP server of its own. */
  readonly layerNoDeps: Layer.Layer<S, E1, R1>
  /** The daemon below a path of the application's router. */
  readonly routesNoDeps: (prefix: Prefix) => Layer.Layer<S, E2, R2>
  readonly environment: (overrides: SettingOverrides, tokenFile?: string) => Layer.Layer<A3, E3, R3>
  readonly testEnvironment: (changes: SettingChanges) => Layer.Layer<A4, E4, R4>
  /** Selects the services that an application gets. */
  readonly offer: (services: Context.Context<S>) => Context.Context<B>
}

/** A daemon in its usual environment and in that of tests, with its own server or on the application's router. */
export const daemonLayers = <S, B, E1, R1, E2, R2, A3, E3, R3, A4, E4, R4>({
  environment,
  layerNoDeps,
  offer,
  routesNoDeps,
  testEnvironment
}: DaemonParts<S, B, E1, R1, E2, R2, A3, E3, R3, A4, E4, R4>) => ({
  layerWith: (overrides: SettingOverrides, tokenFile?: string) =>
    isolated(Layer.provide(layerNoDeps, environment(overrides, tokenFile)), offer),
  layerTest: (changes: SettingChanges = {}) =>
    isolated(Layer.provide(layerNoDeps, testEnvironment(changes)), offer),
  routes: (prefix: Prefix, overrides: SettingOverrides = {}, tokenFile?: string) =>
    isolated(Layer.provide(routesNoDeps(prefix), environment(overrides, tokenFile)), offer),
  routesTest: (prefix: Prefix, changes: SettingChanges = {}) =>
    isolated(Layer.provide(routesNoDeps(prefix), testEnvironment(changes)), offer)
})
