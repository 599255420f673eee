import type { Instance } from "@cdktf/provider-aws/lib/instance/index.js";
import { Fn } from "cdktf";
import type { Construct } from "constructs";
import { PATH, PORT } from "../../lib/service.ts";
import { agentYaml } from "../hosts.ts";
import { type Balancer, type BalancerWish, writeBalancer } from "./balancer.ts";
import type { AwsSettings } from "./form.ts";
import { imageId, writeHost } from "./host.ts";
import { namesOf } from "./names.ts";
import type { NetworkStack } from "./network.ts";
import { packageFiles, plannedPackages } from "./packages.ts";
import type { RegistryStack } from "./registry.ts";
import { AwsStack } from "./stack.ts";
import { METADATA, userData } from "./user-data.ts";

const ETC = "/etc/entityos-agent";
/** What the agent's own parser sees in the place of what AWS assigns. */
const exampleNetwork = (index: number): string => `2001:db8:0:${index}::/64`;

interface Around {
  readonly network: NetworkStack;
  readonly registry: RegistryStack;
  /** PEM of the root that hosts pin. */
  readonly root: string;
}

/**
 * Hosts behind their own gate, and two load balancers that leave every client its address, one for each family: a load balancer that
 * turns one family into the other would put its own address in the client's place.
 */
export class RestrictedStack extends AwsStack {
  /** By name. */
  readonly instances = new Map<string, Instance>();
  readonly ipv4: Balancer;
  readonly ipv6: Balancer;

  constructor(scope: Construct, settings: AwsSettings, around: Around) {
    super(scope, "restricted", settings);
    const image = imageId(this, settings);
    for (const host of settings.restricted.hosts) this.instances.set(host.name, this.#host(host, image, around));
    const common = {
      vpc: around.network.vpc,
      subnets: around.network.open.values(),
      port: PORT.service,
      health: { protocol: "HTTP", path: "/", port: String(PORT.probe), matcher: "200", interval: 10, timeout: 6 },
    } as const satisfies Partial<BalancerWish>;
    const targets = (of: (instance: Instance) => string) => new Map([...this.instances].map(([name, instance]) => [name, of(instance)]));
    const subnets = [...common.subnets];
    this.ipv4 = writeBalancer(this, {
      ...common,
      subnets,
      name: "service-ipv4",
      group: around.network.group("service-balancer-ipv4"),
      clients: "source-ipv4",
      targets: targets(({ id }) => id),
    });
    this.ipv6 = writeBalancer(this, {
      ...common,
      subnets,
      name: "service-ipv6",
      group: around.network.group("service-balancer-ipv6"),
      clients: "source-ipv6",
      targets: targets(({ ipv6Addresses }) => Fn.element(ipv6Addresses, 0)),
    });
  }

  #host({ name, zone }: AwsSettings["restricted"]["hosts"][number], image: string, { network, registry, root }: Around): Instance {
    const { settings } = this;
    const subnet = network.restricted.get(zone);
    if (subnet === undefined) throw new RangeError(`There is no zone ${zone}`);
    const files = [
      { path: PATH.agentConfig, mode: "0644", text: this.#agentYaml(name, network) },
      { path: `${ETC}/ca.pem`, mode: "0644", text: root },
    ] as const;
    return writeHost(this, {
      name,
      image,
      instanceType: settings.restricted.instanceType,
      subnet,
      group: network.group("hosts"),
      key: registry.key,
      bucket: registry.bucket,
      bucketKey: registry.bucketKey,
      diskGb: settings.restricted.diskGb,
      userData: userData({
        name,
        region: settings.region,
        bucket: `https://${registry.bucket.bucketRegionalDomainName}`,
        metadata: METADATA,
        packages: plannedPackages(this, packageFiles(settings).hosts),
        debian: ["haproxy"],
        files,
        role: { kind: "agent" },
      }),
      statements: [],
      own: ({ id }) => {
        const folder = `${registry.bucket.arn}/hosts/${name}/${id}`;
        return [
          { Sid: "Certificates", Effect: "Allow", Action: ["s3:GetObject"], Resource: [`${folder}/agent.crt`, `${folder}/service.crt`] },
          { Sid: "Requests", Effect: "Allow", Action: ["s3:PutObject"], Resource: [`${folder}/agent.csr`, `${folder}/service.csr`] },
        ];
      },
      ipv6: true,
    });
  }

  /** Load balancers ask from their own addresses in the open zone; nobody else does, and nobody at all comes for SSH. */
  #agentYaml(name: string, { open }: NetworkStack): string {
    const { network, restricted, domain } = this.settings;
    const ipv6 = [...open.values()].map(({ ipv6CidrBlock }) => ipv6CidrBlock);
    return agentYaml(
      {
        name,
        registry: {
          addresses: [namesOf(domain).controlUrl],
          ca: `${ETC}/ca.pem`,
          certificate: `${ETC}/agent.crt`,
          key: `${ETC}/agent.key`,
        },
        gate: {
          lanes: restricted.lanes,
          management: { networks: [] },
          probe: { networks: [...network.zones.map((zone) => zone.open), ...ipv6] },
        },
        terminator: { kind: "haproxy" },
      },
      new Map(ipv6.map((token, index) => [token, exampleNetwork(index)])),
    );
  }
}
