import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { synthesise } from "../../../infra/aws/app.ts";
import { findings } from "../../../infra/aws/forbidden/table.ts";
import { parseAws } from "../../../infra/aws/settings.ts";
import { resourcesOf, type Synthesis } from "../../../infra/aws/synthesis.ts";
import { kmsText, settingsText } from "./synthesised.ts";

/** One environment, in which nothing is forbidden. */
function synthesisOf(text: string): Synthesis {
  const folder = mkdtempSync(join(tmpdir(), "eos-settings-"));
  try {
    const [synthesis] = synthesise([parseAws("test.yaml", text)], folder).syntheses;
    if (synthesis === undefined) throw new Error("nothing was synthesised");
    expect(findings(synthesis)).to.deep.equal([]);
    return synthesis;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const admitting = (networks: readonly string[]): Synthesis =>
  synthesisOf(settingsText("trial").replace(/admit: .*/, `admit: ${JSON.stringify(networks)}`));

describe("an environment on AWS with other settings", function () {
  this.timeout(180_000);

  it("has no hosts until the root that they pin is named", () => {
    expect([...synthesisOf(kmsText(false)).stacks.keys()].sort()).to.deep.equal(["alarms", "dns", "network", "pki", "registry"]);
  });

  it("has no name of the service in a family that nobody is admitted of", () => {
    const names = (network: string) =>
      resourcesOf(admitting([network]), "aws_route53_record")
        .filter(({ id }) => id.startsWith("service-"))
        .map(({ fields }) => `${fields.type} ${fields.name}`);
    expect(names("203.0.113.0/24")).to.deep.equal(["A trial.gate.example", "A v4.trial.gate.example"]);
    expect(names("2001:db8:203::/48")).to.deep.equal(["AAAA trial.gate.example", "AAAA v6.trial.gate.example"]);
  });

  it("keeps its ACLs within what AWS takes, however many networks are named", () => {
    const trial = admitting(Array.from({ length: 50 }, (_, index) => `203.0.${index}.0/24`));
    const counts = new Map<string, number>();
    for (const { fields } of resourcesOf(trial, "aws_network_acl_rule")) {
      const which = `${fields.network_acl_id} ${fields.egress}`;
      counts.set(which, (counts.get(which) ?? 0) + 1);
    }
    expect(Math.max(...counts.values())).to.be.at.most(20);
    expect(
      resourcesOf(trial, "aws_vpc_security_group_ingress_rule").filter(({ id }) => id.startsWith("service-balancer-ipv4-")),
    ).to.have.length(50);
  });
});
