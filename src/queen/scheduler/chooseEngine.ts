import {
  canReplace,
  type Capability,
  missingCapability,
  missingEverywhere
} from "../../operation/Capabilities.ts"
import type { Constraints } from "./decide.ts"
import type { DeviceView, HiveView, ModelView } from "./Fleet.ts"

/** The engine that loads a model on a hive, and its devices; or a capability that the hive's engines lack. */
export type EngineChoice =
  | {
      readonly _tag: "Engine"
      /** Absent: the hive's default engine. */
      readonly name?: string | undefined
      readonly canUse: (device: DeviceView) => boolean
    }
  | { readonly _tag: "Lacking"; readonly capability: Capability }

const usable = ({ usable }: DeviceView) => usable

/**
 * Chooses the engine that a request names, else the hive's default engine, else another with the needed capabilities. The
 * capabilities of an older hive are unknown, so its default engine is chosen.
 */
export const chooseEngine = (
  { engineDevices }: HiveView,
  { engines = [] }: ModelView,
  { capabilities = [], engine }: Pick<Constraints, "capabilities" | "engine">
): EngineChoice => {
  const devicesOf = (name: string) => {
    const devices = engineDevices?.get(name)
    return devices === undefined ? usable : ({ id }: DeviceView) => devices.includes(id)
  }
  const choices = engine === undefined ? engines : engines.filter(({ name }) => name === engine)
  const [first, ...others] = choices
  if (first === undefined) return { _tag: "Engine", name: engine, canUse: usable }
  const capability = missingCapability(capabilities, first.capabilities)
  if (capability === undefined) {
    return engine === undefined
      ? { _tag: "Engine", canUse: usable }
      : { _tag: "Engine", name: engine, canUse: devicesOf(engine) }
  }
  const other = others.find((one) => canReplace(capabilities, first.capabilities, one.capabilities))
  return other === undefined
    ? { _tag: "Lacking", capability: missingEverywhere(capabilities, choices) ?? capability }
    : { _tag: "Engine", name: other.name, canUse: devicesOf(other.name) }
}
