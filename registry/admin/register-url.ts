import { isIPv6 } from "node:net";
import { PORT } from "../../lib/service.ts";
import type { RegistryConfig } from "../config.ts";

/** Where devices register: the first name of register's certificate. */
export function registerUrl({ name, register }: RegistryConfig): string {
  const [host = name] = register.names;
  return `https://${isIPv6(host) ? `[${host}]` : host}${register.port === PORT.register ? "" : `:${register.port}`}`;
}
