import { Lb } from "@cdktf/provider-aws/lib/lb/index.js";
import { LbListener } from "@cdktf/provider-aws/lib/lb-listener/index.js";
import { LbTargetGroup, type LbTargetGroupHealthCheck } from "@cdktf/provider-aws/lib/lb-target-group/index.js";
import { LbTargetGroupAttachment } from "@cdktf/provider-aws/lib/lb-target-group-attachment/index.js";
import type { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import type { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import type { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import type { AwsStack } from "./stack.ts";

/** A network load balancer with its one group of targets. */
export interface Balancer {
  readonly name: string;
  readonly lb: Lb;
  readonly targets: LbTargetGroup;
}

export interface BalancerWish {
  readonly name: string;
  readonly vpc: Vpc;
  readonly subnets: Iterable<Subnet>;
  readonly group: SecurityGroup;
  readonly port: number;
  readonly health: LbTargetGroupHealthCheck;
  /** Ids of instances, or their IPv6 addresses, by name. */
  readonly targets: ReadonlyMap<string, string>;
  /**
   * How the client's address reaches the target: as the source of its packets, which needs a load balancer and targets of one family,
   * or in a PROXY header of version 2 in front of TLS.
   */
  readonly clients: "source-ipv4" | "source-ipv6" | "proxy-header";
}

/** TCP is passed through: no load balancer sees into TLS. Across zones, so that one zone's targets serve the other's clients. */
export function writeBalancer(stack: AwsStack, wish: BalancerWish): Balancer {
  const { name, clients, port, health } = wish;
  const proxied = clients === "proxy-header";
  const lb = new Lb(stack, name, {
    name: stack.named(name),
    loadBalancerType: "network",
    internal: false,
    ipAddressType: clients === "source-ipv4" ? "ipv4" : "dualstack",
    subnets: [...wish.subnets].map(({ id }) => id),
    securityGroups: [wish.group.id],
    enableCrossZoneLoadBalancing: true,
    enableDeletionProtection: stack.settings.protection,
  });
  const targets = new LbTargetGroup(stack, `${name}-targets`, {
    name: stack.named(name),
    vpcId: wish.vpc.id,
    port,
    protocol: "TCP",
    // Instances as targets are IPv4 alone.
    targetType: clients === "source-ipv6" ? "ip" : "instance",
    ipAddressType: clients === "source-ipv6" ? "ipv6" : "ipv4",
    preserveClientIp: String(!proxied),
    proxyProtocolV2: proxied,
    connectionTermination: true,
    deregistrationDelay: "60",
    healthCheck: health,
  });
  new LbListener(stack, `${name}-listener`, {
    loadBalancerArn: lb.arn,
    port,
    protocol: "TCP",
    defaultAction: [{ type: "forward", targetGroupArn: targets.arn }],
  });
  for (const [target, targetId] of wish.targets) {
    new LbTargetGroupAttachment(stack, `${name}-${target}`, { targetGroupArn: targets.arn, targetId, port });
  }
  return { name, lb, targets };
}
