import * as Context from "effect/Context"

/** The path below which a daemon is mounted on an application's router, such as `/llm`; empty for a server of its own. */
export const MountPath = Context.Reference<string>("rbee/daemon/MountPath", { defaultValue: () => "" })
