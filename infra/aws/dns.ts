import type { Lb } from "@cdktf/provider-aws/lib/lb/index.js";
import { Route53Record } from "@cdktf/provider-aws/lib/route53-record/index.js";
import { Route53Zone } from "@cdktf/provider-aws/lib/route53-zone/index.js";
import type { Construct } from "constructs";
import { parsePrefix } from "../../lib/ip.ts";
import type { AwsSettings } from "./form.ts";
import { namesOf } from "./names.ts";
import type { NetworkStack } from "./network.ts";
import type { RegistryStack } from "./registry.ts";
import type { RestrictedStack } from "./restricted.ts";
import { AwsStack } from "./stack.ts";

const TTL_S = 60;

/** Names for both families and for each alone; control's is known inside the network only. */
export class DnsStack extends AwsStack {
  constructor(
    scope: Construct,
    settings: AwsSettings,
    { network, registry, restricted }: { network: NetworkStack; registry: RegistryStack; restricted: RestrictedStack | null },
  ) {
    super(scope, "dns", settings);
    const names = namesOf(settings.domain);
    const { lb: register } = registry.balancer;
    this.#alias("register-ipv4", "A", [names.register, names.registerIpv4], register);
    this.#alias("register-ipv6", "AAAA", [names.register, names.registerIpv6], register);
    if (restricted !== null) this.#service(names, restricted);
    const inside = new Route53Zone(this, "inside", {
      name: names.control,
      vpc: [{ vpcId: network.vpc.id }],
      comment: "Inside the network",
    });
    new Route53Record(this, "control", { zoneId: inside.zoneId, name: names.control, type: "A", ttl: TTL_S, records: [registry.address] });
  }

  /** No name leads to a load balancer that admits nobody: clients would wait there before they try the other family. */
  #service(names: ReturnType<typeof namesOf>, { ipv4, ipv6 }: RestrictedStack): void {
    const { admit } = this.settings.restricted;
    const admits = (family: 4 | 6): boolean => admit === "everyone" || admit.some((cidr) => parsePrefix(cidr).family === family);
    if (admits(4)) this.#alias("service-ipv4", "A", [names.service, names.serviceIpv4], ipv4.lb);
    if (admits(6)) this.#alias("service-ipv6", "AAAA", [names.service, names.serviceIpv6], ipv6.lb);
  }

  #alias(id: string, type: "A" | "AAAA", [both, alone]: readonly [string, string], lb: Lb): void {
    const alias = { name: lb.dnsName, zoneId: lb.zoneId, evaluateTargetHealth: false };
    const zoneId = this.settings.hostedZone;
    new Route53Record(this, id, { zoneId, name: both, type, alias });
    new Route53Record(this, `${id}-alone`, { zoneId, name: alone, type, alias });
  }
}
