import { createContext, Script } from "node:vm"

/** A template exceeded the limit of time or output. */
export class RenderExceeded extends Error {}

const timeout = 2000
const maxCharacters = 4_000_000

const box: { render: () => string } = { render: () => "" }
const context = createContext(box)
const script = new Script("render()")

const isTimeout = (cause: unknown) =>
  typeof cause === "object" &&
  cause !== null &&
  "code" in cause &&
  cause.code === "ERR_SCRIPT_EXECUTION_TIMEOUT"

/**
 * Renders a template within 2 s and 4,000,000 characters, else throws RenderExceeded. The time limit also interrupts an
 * infinite loop. Rendering blocks the process.
 */
export const boundedRender = (render: () => string): string => {
  box.render = render
  try {
    const text: unknown = script.runInContext(context, { timeout })
    const rendered = String(text)
    if (rendered.length <= maxCharacters) return rendered
  } catch (cause) {
    if (isTimeout(cause))
      throw new RenderExceeded(`the model's chat template took longer than ${timeout / 1000} s`)
    throw cause
  }
  throw new RenderExceeded(`the model's chat template wrote more than ${maxCharacters} characters`)
}
