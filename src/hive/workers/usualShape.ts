import type { UsualShape } from "../../operation/WorkerShape.ts"

const maxDefaultContext = 8192
const minDefaultContext = 2048

/**
 * The shape of a worker whose request sets nothing, for a model trained for `longest` tokens: the model's own context, at
 * most 8,192 tokens, and at least 2,048 where memory is short. A setting for the context is exact.
 */
export const usualShapeOf = (
  longest: number,
  settings: { readonly contextSize: number | undefined; readonly parallel: number }
): UsualShape => {
  const contextSize = Math.min(longest, settings.contextSize ?? maxDefaultContext)
  return {
    contextSize,
    slots: settings.parallel,
    minContext: settings.contextSize === undefined ? Math.min(contextSize, minDefaultContext) : contextSize,
    maxContext: longest
  }
}
