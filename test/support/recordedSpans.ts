import { Layer, Option, Tracer } from "effect"

/** A tracer that keeps its spans, in the order in which they begin. */
export const recordSpans = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer, layer: Layer.succeed(Tracer.Tracer, tracer) }
}

/** The names of a span and of those around it, outermost first: `Jobs.submit > HiveForwarder.forward`. */
export const pathOf = (span: Tracer.AnySpan): string => {
  const parent = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  const name = span._tag === "Span" ? span.name : "external"
  return parent === undefined ? name : `${pathOf(parent)} > ${name}`
}
