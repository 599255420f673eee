import { join } from "node:path";
import { expect } from "chai";
import { loadSettings, parseSettings } from "../../infra/settings.ts";
import { ConfigError } from "../../lib/config.ts";

const EXAMPLE = join(import.meta.dirname, "../../infra/environments/example.yaml");
const BROKEN = `
environment: Prod
region: ap-southeast-2
backend: { kind: local, folder: /var/state }
network:
  cidr: 10.0.0.0/8
  open: [{ availabilityZone: eu-west-1a, cidr: 10.20.0.0/24 }]
  restricted:
    - { availabilityZone: ap-southeast-2a, cidr: 10.20.0.0/25 }
    - { availabilityZone: ap-southeast-2b, cidr: 192.168.0.0/24 }
    - { availabilityZone: ap-southeast-2b, cidr: 10.20.1.1/24 }
admit: ["::/0"]
operators: [198.51.100.0/28, 0.0.0.0/0]
colour: green
`;

const problems = (text: string): readonly string[] => {
  try {
    parseSettings("test.yaml", text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
};

describe("the settings of an environment", () => {
  it("are whole in the example", () => {
    const settings = loadSettings(EXAMPLE);
    expect(settings.environment).to.equal("example");
    expect(settings.network.open.map(({ cidr }) => cidr)).to.deep.equal(["10.20.0.0/24", "10.20.1.0/24"]);
    expect(Object.isFrozen(settings.network)).to.equal(true);
  });

  it("tell all problems of form together, each with its path", () => {
    expect(problems(BROKEN)).to.deep.equal([
      "environment: a name is 1 to 31 lower-case letters, digits and hyphens",
      "backend.folder: a folder is a relative path",
      "network.restricted.2.cidr: The prefix has host bits set: did you mean 10.20.1.0/24?",
      '(whole file): unknown key "colour"',
    ]);
  });

  it("tell all problems of the networks together, each with its path", () => {
    const formed = BROKEN.replace("Prod", "prod")
      .replace("/var/state", "state")
      .replace("10.20.1.1/24", "10.20.1.0/24")
      .replace("colour: green", "");
    expect(problems(formed)).to.deep.equal([
      "network.cidr: the network is IPv4, from /16 to /24",
      "network.open.0.availabilityZone: eu-west-1a is not in ap-southeast-2",
      "network.restricted.0.cidr: 10.20.0.0/25 overlaps 10.20.0.0/24",
      "network.restricted.1.cidr: 192.168.0.0/24 is not inside 10.0.0.0/8",
      "admit.0: ::/0 is everyone: the restricted zone names its networks",
      "operators.1: 0.0.0.0/0 is everyone: the restricted zone names its networks",
    ]);
  });

  it("keep Terraform's state in s3 or in a relative folder, nowhere else", () => {
    const text = (backend: string) => BROKEN.replace("{ kind: local, folder: /var/state }", backend);
    for (const wrong of ["{ kind: local, folder: ../state/ }", "{ kind: cloud }", "{ kind: s3 }", "{ kind: local }"]) {
      expect(
        problems(text(wrong)).some((problem) => problem.startsWith("backend")),
        wrong,
      ).to.equal(true);
    }
    expect(problems(text("{ kind: s3, bucket: states, region: eu-west-1 }")).some((problem) => problem.startsWith("backend"))).to.equal(
      false,
    );
  });
});
