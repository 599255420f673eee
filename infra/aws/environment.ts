import type { App } from "cdktf";
import { AlarmsStack } from "./alarms.ts";
import { DatabaseStack } from "./database.ts";
import { DnsStack } from "./dns.ts";
import type { AwsSettings } from "./form.ts";
import { NetworkStack } from "./network.ts";
import { PkiStack } from "./pki.ts";
import { RegistryStack } from "./registry.ts";
import { RestrictedStack } from "./restricted.ts";
import type { AwsStack } from "./stack.ts";

/** Every stack of an environment, in the order in which they are deployed. */
export function writeEnvironment(app: App, settings: AwsSettings): readonly AwsStack[] {
  const network = new NetworkStack(app, settings);
  const pki = new PkiStack(app, settings);
  const database = settings.registry.replicas > 1 ? new DatabaseStack(app, settings, network) : null;
  const registry = new RegistryStack(app, settings, { network, pki });
  const { root } = pki.certificates;
  const restricted = root === undefined ? null : new RestrictedStack(app, settings, { network, registry, root });
  const dns = new DnsStack(app, settings, { network, registry, restricted });
  const alarms = new AlarmsStack(app, settings, { registry, restricted, database });
  return [network, pki, ...(database === null ? [] : [database]), registry, ...(restricted === null ? [] : [restricted]), dns, alarms];
}
