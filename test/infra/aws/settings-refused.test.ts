import { expect } from "chai";
import { problems } from "./refused.ts";
import { settingsText } from "./synthesised.ts";

/** Trial with one line put in the place of what is there. */
const trial = (from: RegExp | string, to: string): string => {
  const text = settingsText("trial");
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`Nothing to replace: ${from}`);
  return changed;
};
const named = (...names: readonly string[]): string =>
  trial(/hosts: .*/, `hosts: [${names.map((name) => `{ name: ${name}, zone: eu-central-1a }`).join(", ")}]`);

/** Settings that were taken once and could not work, or made synth fall over: [what they say, what they are told]. */
const REFUSED: readonly (readonly [text: () => string, told: readonly string[]])[] = [
  ...["debian", "aws", "account", "flows", "snapshots"].map(
    (name) => [() => named(name), [`restricted.hosts.0.name: ${name} is what something else is called: take another name`]] as const,
  ),
  [
    () => named("service-ipv4"),
    ["restricted.hosts.0.name: service-ipv4 is what is called after the load balancer service-ipv4: take another name"],
  ],
  [
    () => named("service-ipv4-targets"),
    ["restricted.hosts.0.name: service-ipv4-targets is what is called after the load balancer service-ipv4: take another name"],
  ],
  [
    () => named("web", "web-role", "web-own"),
    [
      "restricted.hosts.1.name: web-role is what something of the host web is called: take another name",
      "restricted.hosts.2.name: web-own is what something of the host web is called: take another name",
    ],
  ],
  [() => named("web-"), ["restricted.hosts.0.name: a name is lower-case letters and digits, with single hyphens between them"]],
  [
    () => trial("environment: trial", "environment: internal"),
    ["environment: internal begins names that AWS keeps for itself: take another one"],
  ],
  [() => trial("packages: {", "packages: { version: ~rc1,"), ["packages.version: a version is written like 0.1.0 or 0.1.0+build1"]],
  [() => trial("packages: {", "packages: { version: 1.0~rc1,"), ["packages.version: a version is written like 0.1.0 or 0.1.0+build1"]],
  [
    () => trial(/packages: .*/, "packages: { more: [] }"),
    [
      "packages.more: must have at least 1 entry",
      "packages.more: the SSM agent's package is not among them, and without it nobody comes in: amazon-ssm-agent_ARCHITECTURE.deb",
    ],
  ],
  [() => trial(/packages: .*/, "packages: {}"), ["packages.more: is missing"]],
  [
    () => trial(/packages: .*/, "packages: { more: [amazon-ssm-agent_amd64.deb, amazon-ssm-agent_amd64.deb] }"),
    [
      "packages.more.1: amazon-ssm-agent_amd64.deb is named twice",
      "packages.more.0: amazon-ssm-agent_amd64.deb is for amd64, the machines are arm64",
      "packages.more.1: amazon-ssm-agent_amd64.deb is for amd64, the machines are arm64",
    ],
  ],
  [
    () => trial(/packages: .*/, "packages: { more: [amazon-ssm-agent_arm64.deb, ../etc/passwd] }"),
    ["packages.more.1: a package is the name of a file, like amazon-ssm-agent_arm64.deb, without a folder"],
  ],
  [
    () => trial("registry: { instanceType: t4g.micro", "registry: { instanceType: t4g.huge"),
    ["registry.instanceType: there is no t4g.huge; t4g has nano, micro, small, medium, large, xlarge, 2xlarge"],
  ],
  [
    () => trial("registry: { instanceType: t4g.micro", "registry: { instanceType: q7g.large"),
    ["registry.instanceType: there is no family q7g among those that are known to run this (infra/aws/instances.ts)"],
  ],
  [
    () => trial("  instanceType: t4g.micro", "  instanceType: m7i.metal-24xl"),
    ["restricted.instanceType: m7i.metal-24xl is amd64, not arm64"],
  ],
  ...["cn-north-1", "us-gov-west-1", "us-iso-east-1", "eusc-de-east-1"].map(
    (region) =>
      [
        () => trial(/^region: .*/m, `region: ${region}`),
        ["region: a region is written like ap-southeast-2; those of China, governments and sovereign clouds are not supported"],
      ] as const,
  ),
  [
    () => settingsText("trial").replaceAll("eu-central-1", "eu-central-7"),
    [
      "region: there is no region eu-central-7 among those that are known (infra/aws/regions.ts)",
      "state.region: there is no region eu-central-7 among those that are known (infra/aws/regions.ts)",
    ],
  ],
  [() => trial("name: eu-central-1b", "name: eu-central-1z"), ["network.zones.1.name: eu-central-1z is not in eu-central-1"]],
  [() => trial("name: eu-central-1b", "name: eu-central-1-ham-1a"), ["network.zones.1.name: eu-central-1-ham-1a is not in eu-central-1"]],
  ...["11", "ami-XYZ", "debian"].map(
    (image) =>
      [
        () => trial("packages: {", `image: ${image}\npackages: {`),
        ["image: an image is 12 or 13, of Debian, or this very one: ami-0123456789abcdef0"],
      ] as const,
  ),
  [() => trial("flowLogDays: 30", "flowLogDays: 31"), ["network.flowLogDays: must be one of 30, 60, 90, 180, 365, 731, 1096"]],
  [() => trial("everyHours: 24", "everyHours: 5"), ["registry.snapshots.everyHours: must be one of 1, 2, 3, 4, 6, 8, 12, 24"]],
  [
    () => trial(/kmsKey: .*/, "kmsKey: arn:aws:kms:us-east-1:111122223333:alias/states"),
    ["state.kmsKey: the key is in us-east-1, the bucket in eu-central-1: S3 encrypts with keys of its own region"],
  ],
  [
    () => trial(/bucket: .*/, "bucket: My_States"),
    ["state.bucket: a bucket's name is 3 to 63 lower-case letters, digits, single dots and hyphens"],
  ],
  [
    () => trial(/bucket: .*/, "bucket: a..b"),
    ["state.bucket: a bucket's name is 3 to 63 lower-case letters, digits, single dots and hyphens"],
  ],
  [() => trial(/^pki: .*$/m, "pki: { kind: file }"), ["pki.kind: must be one of tls, kms, own"]],
  [() => trial("cidr: 10.30.0.0/20", "cidr: 2001:db8::/56"), ["network.cidr: the network is IPv4, from /16 to /24"]],
  [
    () => trial("open: 10.30.0.0/24", "open: 2001:db8::/64"),
    ["network.zones.0.open: 2001:db8::/64 is IPv6: here the IPv4 network is named, AWS assigns the other one"],
  ],
  [() => trial("flowLogDays: 30", "endpoints: [ssm, ssmmessages, ssm]"), ["network.endpoints.2: ssm is named twice"]],
  [
    () => trial("restricted: 10.30.9.0/24", "restricted: 10.30.8.0/23"),
    ["network.zones.1.restricted: 10.30.8.0/23 overlaps 10.30.8.0/24 of 0.restricted"],
  ],
  [
    () => settingsText("trial").replaceAll("10.30.", "11.30."),
    ["network.cidr: 11.30.0.0/20 is not private: what it covers of the internet could not be reached"],
  ],
  [
    () => trial(/admit: .*/, "admit: [203.0.113.0/25, 203.0.113.0/24, 10.30.0.0/16]"),
    [
      "restricted.admit.1: 203.0.113.0/24 overlaps 203.0.113.0/25, which is named before it",
      "restricted.admit.2: 10.30.0.0/16 overlaps the network itself: the load balancers are reached from outside",
    ],
  ],
  [
    () => trial(/admit: .*/, "admit: [203.0.113.0/24]\n  lanes: { ip: true, roaming: true }"),
    ["restricted.admit: roaming admits from anywhere: with it, admit is everyone"],
  ],
  [() => trial(/admit: .*/, "admit: everyone\n  lanes: { ip: false }"), ["restricted.lanes: nobody is let in: every lane is off"]],
  [() => trial(/admit: .*/, "admit: nobody"), ["restricted.admit: it is everyone, or a list of networks"]],
];

describe("settings that cannot work on AWS", () => {
  for (const [text, told] of REFUSED)
    it(`are refused: ${told[0]}`, () => {
      expect(problems(text())).to.deep.equal(told);
    });

  it("hide nothing that is beside them: a malformed element is told with its path, and all others are looked at", () => {
    const text = trial(
      /zones:\n.*\n.*\n/,
      "zones: [{ name: 3, open: x }, { name: eu-west-1b, open: 10.30.1.0/24, restricted: 192.168.9.0/24 }]\n",
    )
      .replace(/hosts: .*/, "hosts: [{ name: web-1 }, { name: web-1, zone: eu-central-1c }, 7, { name: aws, zone: eu-central-1a }]")
      .replace(/admit: .*/, "admit: [203.0.113.0/24, nonsense, 203.0.113.128/25]")
      .replace("volumeGb: 8", "volumeGb: 8.5, zone: 4")
      .replace("instanceType: t4g.micro, ", "instanceType: m7i.large, ");
    expect(problems(text)).to.deep.equal([
      "network.zones.0.name: must be text",
      "network.zones.0.open: Not an IPv4 or IPv6 address in its usual form, such as 203.0.113.7 or 2001:db8::7.",
      "network.zones.0.restricted: is missing",
      "registry.zone: must be text",
      "registry.volumeGb: must be a whole number",
      "restricted.hosts.0.zone: is missing",
      "restricted.hosts.2: must be a group of settings",
      "restricted.admit.1: Not an IPv4 or IPv6 address in its usual form, such as 203.0.113.7 or 2001:db8::7.",
      "network.zones.1.restricted: 192.168.9.0/24 is not inside 10.30.0.0/20",
      "network.zones.1.name: eu-west-1b is not in eu-central-1",
      "registry.instanceType: m7i.large is amd64, not arm64",
      "restricted.hosts.1.name: web-1 is named twice",
      "restricted.hosts.3.name: aws is what something else is called: take another name",
      "restricted.admit.2: 203.0.113.128/25 is admitted already",
    ]);
  });

  it("hide nothing beside them where the others have defaults either", () => {
    const text = trial("flowLogDays: 30", "endpoints: [ssm, nonsense, ssm]").replace(
      /admit: .*/,
      "admit: [203.0.113.0/24]\n  lanes: { ip: maybe, roaming: true }",
    );
    expect(problems(text)).to.deep.equal([
      "network.endpoints.1: must be one of acm-pca, kms, secretsmanager, ssm, ssmmessages",
      "restricted.lanes.ip: must be true or false",
      "network.endpoints.2: ssm is named twice",
      "restricted.admit: roaming admits from anywhere: with it, admit is everyone",
    ]);
  });
});
