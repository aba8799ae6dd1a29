// @effect-diagnostics processEnv:off -- a child process inherits the environment itself, not settings

/** Unsets the secrets in the environment of a child process, for the options of `ChildProcess`. */
export const noSecrets = {
  RBEE_TOKEN: undefined,
  HF_TOKEN: undefined,
  HUGGING_FACE_HUB_TOKEN: undefined,
  HUGGINGFACE_TOKEN: undefined,
  OTEL_EXPORTER_OTLP_HEADERS: undefined
}

const proxyName = /^(?:https?|all)_proxy$/i

const hasCredentials = (url: string) => /^[^/]*\/\/[^/@]*@/.test(url) || /^[^/@]+:[^/@]+@/.test(url)

const isSecret = (name: string, value: string) =>
  name in noSecrets ||
  (name.startsWith("OTEL_EXPORTER_OTLP_") && name.endsWith("HEADERS")) ||
  (proxyName.test(name) && hasCredentials(value))

/**
 * The environment of this process without rbee's secrets: its token, those of model hubs, headers for telemetry, and proxies
 * with credentials. For processes that run third-party code, such as engines.
 */
export const environmentWithoutSecrets = (
  environment: Readonly<Record<string, string | undefined>> = process.env
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value === undefined || isSecret(name, value) ? [] : [[name, value] as const]
    )
  )
