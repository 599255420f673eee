import { expect } from "chai";
import { instanceProblem } from "../../../infra/aws/instances.ts";
import { parseAws } from "../../../infra/aws/settings.ts";
import { problems } from "./refused.ts";
import { replicasText, settingsText } from "./synthesised.ts";

/** Everything wrong at once: form and meaning. */
const BROKEN = `
environment: Prod
region: eu-central-1
state: { bucket: states, region: eu-central-1, kmsKey: alias/states }
domain: Gate.example
hostedZone: Z0123456789EXAMPLE01
network:
  cidr: 10.0.0.0/8
  zones:
    - { name: eu-central-1a, open: 10.20.0.0/24, restricted: 10.20.0.128/25 }
    - { name: eu-west-1a, open: 192.168.0.0/24, restricted: 10.20.2.0/28 }
    - { name: eu-central-1a, open: 10.20.3.0/24, restricted: 10.20.4.0/24 }
  flowLogDays: 31
pki: { kind: tls, organization: Example }
architecture: arm64
registry: { instanceType: m7i.large, replicas: 3, zone: eu-central-1c }
restricted:
  instanceType: t4g.metal
  hosts:
    - { name: web-1, zone: eu-central-1a }
    - { name: web-1, zone: eu-central-1b }
    - { name: registry, zone: eu-central-1a }
  admit: [203.0.113.0/24, 203.0.113.128/25, 0.0.0.0/0]
  lanes: { roaming: true }
protection: yes please
alarms: { email: nobody }
colour: green
`;

describe("the settings of an environment on AWS", () => {
  it("are whole in every environment of the project", () => {
    const production = parseAws("production.yaml", settingsText("production"));
    expect(production.network.zones.map(({ name }) => name)).to.deep.equal(["eu-central-1a", "eu-central-1b"]);
    expect(production.restricted.instanceType).to.equal("m7g.metal");
    expect(Object.isFrozen(production.network)).to.equal(true);
    expect(parseAws("trial.yaml", settingsText("trial")).restricted.admit).to.deep.equal(["203.0.113.0/24", "2001:db8:203::/48"]);
    expect(parseAws("single-zone.yaml", settingsText("single-zone")).network.zones).to.have.length(1);
  });

  it("tell all problems in one run, of form and of meaning, each with its path", () => {
    expect(problems(BROKEN)).to.include.members([
      "environment: a name is lower-case letters and digits, with single hyphens between them",
      "state.kmsKey: a key is named by its ARN",
      "domain: a domain is written like gate.example",
      "registry.instanceType: m7i.large is amd64, not arm64",
      "registry.replicas: 3 need PostgreSQL, which the registry of this version cannot use yet: it serves both roles over SQLite",
      "registry.database: 3 replicas need one",
      "restricted.instanceType: there is no t4g.metal; bare metal of t4g is none",
      "restricted.hosts.1.name: web-1 is named twice",
      "restricted.hosts.2.name: the registry's own host is called registry",
      "restricted.admit: roaming admits from anywhere: with it, admit is everyone",
      "restricted.admit.1: 203.0.113.128/25 is admitted already",
      "restricted.admit.2: 0.0.0.0/0 is everyone: say so, or name networks",
    ]);
    const paths = problems(BROKEN).map((problem) => problem.split(":", 1)[0]);
    expect(paths).to.include.members(["network.flowLogDays", "protection", "alarms.email", "(whole file)"]);
    expect(problems(BROKEN)).to.include.members([
      "network.cidr: the network is IPv4, from /16 to /24",
      "network.zones.0.restricted: 10.20.0.128/25 overlaps 10.20.0.0/24 of 0.open",
      "network.zones.1.open: 192.168.0.0/24 is not inside 10.0.0.0/8",
      "network.zones.1.restricted: 10.20.2.0/28 is smaller than /27",
      "network.zones.1.name: eu-west-1a is not in eu-central-1",
      "network.zones.2.name: eu-central-1a is named twice",
      "registry.zone: there is no zone eu-central-1c",
      "restricted.hosts.1.zone: there is no zone eu-central-1b",
    ]);
  });

  it("refuse replicas because this version's registry cannot run them, and a database that would have no use", () => {
    expect(problems(replicasText())).to.deep.equal([
      "registry.replicas: 2 need PostgreSQL, which the registry of this version cannot use yet: it serves both roles over SQLite",
    ]);
    expect(parseAws("test.yaml", replicasText(), { replicas: true }).registry.replicas).to.equal(2);
    expect(problems(replicasText().replace("replicas: 2", "replicas: 1"))).to.deep.equal([
      "registry.database: one replica keeps SQLite on its volume: a database is for more",
    ]);
  });

  it("keep Terraform's state in S3, encrypted with a key that is named, nowhere else", () => {
    const text = settingsText("trial").replace(/^state:\n( .*\n)+/m, "state: { kind: local, folder: state }\n");
    expect(problems(text).map((problem) => problem.split(":", 1)[0])).to.include.members([
      "state.bucket",
      "state.region",
      "state.kmsKey",
      "state",
    ]);
  });

  it("know what bare metal there is, and for which architecture", () => {
    const said = (type: string, architecture: "amd64" | "arm64") => instanceProblem(type, architecture);
    expect(said("m7g.metal", "arm64")).to.equal(null);
    expect(said("a1.metal", "arm64")).to.equal(null);
    expect(said("c7gn.metal", "arm64")).to.equal(null);
    expect(said("m7i.metal-24xl", "amd64")).to.equal(null);
    expect(said("t3a.small", "amd64")).to.equal(null);
    expect(said("i7ie.metal-48xl", "amd64")).to.equal(null);
    expect(said("m7g.metal", "amd64")).to.equal("m7g.metal is arm64, not amd64");
    expect(said("c5n.metal", "arm64")).to.equal("c5n.metal is amd64, not arm64");
    expect(said("m7i.metal", "amd64")).to.equal("there is no m7i.metal; bare metal of m7i is m7i.metal-24xl, m7i.metal-48xl");
    expect(said("i3.large", "amd64")).to.equal("there is no i3.large; i3 has metal");
    expect(said("m4.large", "amd64")).to.equal("m4.large does not run on Nitro");
    expect(said("large", "amd64")).to.equal("large is no type of instance: it is written like m7g.large");
  });
});
