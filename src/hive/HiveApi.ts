import { HiveDaemonApi } from "../daemon/DaemonApi.ts"
import { GatewayApi } from "../gateway/GatewayApi.ts"

/** All endpoints of a hive. */
export const HiveApi = HiveDaemonApi.addHttpApi(GatewayApi)
