import {
  canReplace,
  type Capability,
  missingCapability,
  missingEverywhere
} from "../../operation/Capabilities.ts"
import type { Constraints } from "./decide.ts"
import type { DeviceView, HiveView, ModelView } from "./Fleet.ts"

/** Which engine loads a model on a hive, on which devices; or what none of the hive's engines can do. */
export type EngineChoice =
  | {
      readonly _tag: "Engine"
      /** The hive's default engine when it is not said. */
      readonly name?: string | undefined
      readonly canUse: (device: DeviceView) => boolean
    }
  | { readonly _tag: "Lacking"; readonly capability: Capability }

const usable = ({ usable }: DeviceView) => usable

/**
 * Takes the engine that a request names, else the hive's default engine, else another of the hive that is known to be
 * able to do what is needed. Of an older hive nothing is known, so its default engine may do it.
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
