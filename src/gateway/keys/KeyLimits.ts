import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ApiKey } from "../../access/ApiKey.ts"
import { acquireRelease } from "../../http/scopeFinalizers.ts"
import type { Failure } from "../../job/log/JobEvent.ts"
import { TokenBudget } from "./TokenBudget.ts"

/** An API key has reached its limit of concurrent requests, or of tokens per minute. */
export class KeyLimited extends Schema.TaggedError<KeyLimited>()(
  "KeyLimited",
  { key: Schema.String, limit: Schema.String, retryAfter: Schema.Finite },
  { httpApiStatus: 429 }
) {
  override get message() {
    return `API key '${this.key}' exceeded its limit of ${this.limit}; retry in ${this.retryAfter} s`
  }
  get failure(): Failure {
    return { code: this._tag, message: this.message, details: { retry_after: this.retryAfter } }
  }
}

/** Enforces the limits of API keys. */
export class KeyLimits extends Context.Service<
  KeyLimits,
  {
    /**
     * Reserves a concurrent request of the key, and `tokens` of its budget, until the scope closes; then `used` returns the
     * actual number of tokens. If it exceeds the budget, the key's next request waits until the budget has recovered.
     */
    readonly enter: (
      key: ApiKey,
      tokens: number,
      used: () => number
    ) => Effect.Effect<void, KeyLimited, Scope.Scope>
  }
>()("rbee/gateway/keys/KeyLimits") {
  static readonly layer = Layer.effect(
    KeyLimits,
    Effect.suspend(() => make)
  )
}

const minRetrySeconds = 1

const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const running = new Map<string, number>()
  const budgets = new Map<string, TokenBudget>()

  const count = (id: string, by: number) => {
    const next = (running.get(id) ?? 0) + by
    if (next === 0) running.delete(id)
    else running.set(id, next)
  }

  const budgetOf = (id: string, limit: number) => {
    const budget = budgets.get(id) ?? new TokenBudget(limit, clock.currentTimeMillisUnsafe())
    budgets.set(id, budget)
    return budget
  }

  const reserve = ({ id, name, tokens_per_minute: limit }: ApiKey, tokens: number, used: () => number) => {
    if (limit === undefined) return Effect.void
    const budget = budgetOf(id, limit)
    const reservation = Effect.suspend(() => {
      const outcome = budget.reserve(tokens, limit, clock.currentTimeMillisUnsafe())
      return "reserved" in outcome
        ? Effect.succeed(outcome.reserved)
        : Effect.fail(
            new KeyLimited({
              key: name,
              limit: `${limit} tokens a minute`,
              retryAfter: Math.max(minRetrySeconds, Math.ceil(outcome.waitSeconds))
            })
          )
    })
    return acquireRelease(reservation, (reserved) =>
      Effect.sync(() => budget.settle(reserved, used(), clock.currentTimeMillisUnsafe()))
    )
  }

  return KeyLimits.of({
    enter: Effect.fnUntraced(function* (key, tokens, used) {
      const { concurrency, id, name } = key
      if (concurrency !== undefined && (running.get(id) ?? 0) >= concurrency) {
        return yield* new KeyLimited({
          key: name,
          limit: `${concurrency} requests at the same time`,
          retryAfter: minRetrySeconds
        })
      }
      yield* reserve(key, tokens, used)
      yield* acquireRelease(
        Effect.sync(() => count(id, 1)),
        () => Effect.sync(() => count(id, -1))
      )
    })
  })
})
