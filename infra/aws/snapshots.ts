import { DlmLifecyclePolicy } from "@cdktf/provider-aws/lib/dlm-lifecycle-policy/index.js";
import { IamRole } from "@cdktf/provider-aws/lib/iam-role/index.js";
import { IamRolePolicy } from "@cdktf/provider-aws/lib/iam-role-policy/index.js";
import type { AwsSettings } from "./form.ts";
import { type AwsStack, policy, trust } from "./stack.ts";

/** Snapshots of every volume with these tags. SQLite's WAL makes each one whole: it is what a power cut would leave. */
export function writeSnapshots(
  stack: AwsStack,
  targetTags: Readonly<Record<string, string>>,
  { everyHours, keep }: AwsSettings["registry"]["snapshots"],
): void {
  const { region } = stack.settings;
  const role = new IamRole(stack, "snapshots-role", {
    name: stack.named("snapshots"),
    assumeRolePolicy: trust("dlm.amazonaws.com", stack.account),
  });
  const own = { StringEquals: { "aws:ResourceAccount": stack.account } };
  new IamRolePolicy(stack, "snapshots-policy", {
    name: "snapshots",
    role: role.id,
    policy: policy([
      // Looking knows no resources.
      { Sid: "Look", Effect: "Allow", Action: ["ec2:DescribeInstances", "ec2:DescribeVolumes", "ec2:DescribeSnapshots"], Resource: "*" },
      {
        Sid: "Make",
        Effect: "Allow",
        Action: ["ec2:CreateSnapshot"],
        Resource: [`arn:aws:ec2:${region}:${stack.account}:volume/*`, `arn:aws:ec2:${region}::snapshot/*`],
      },
      { Sid: "Remove", Effect: "Allow", Action: ["ec2:DeleteSnapshot"], Resource: `arn:aws:ec2:${region}::snapshot/*`, Condition: own },
      { Sid: "Tag", Effect: "Allow", Action: ["ec2:CreateTags"], Resource: `arn:aws:ec2:${region}::snapshot/*` },
    ]),
  });
  new DlmLifecyclePolicy(stack, "snapshots", {
    description: `${stack.settings.environment} registry`,
    executionRoleArn: role.arn,
    state: "ENABLED",
    policyDetails: {
      resourceTypes: ["VOLUME"],
      targetTags: { ...targetTags },
      schedule: [
        {
          name: "regular",
          createRule: { interval: everyHours, intervalUnit: "HOURS" },
          retainRule: { count: keep },
          copyTags: true,
        },
      ],
    },
  });
}
