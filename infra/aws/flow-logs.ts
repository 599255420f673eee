import { CloudwatchLogGroup } from "@cdktf/provider-aws/lib/cloudwatch-log-group/index.js";
import { FlowLog } from "@cdktf/provider-aws/lib/flow-log/index.js";
import { IamRole } from "@cdktf/provider-aws/lib/iam-role/index.js";
import { IamRolePolicy } from "@cdktf/provider-aws/lib/iam-role-policy/index.js";
import type { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import { type AwsStack, policy, trust } from "./stack.ts";

/** Every flow of the network, refused ones too, encrypted, for so many days. */
export function writeFlowLogs(stack: AwsStack, vpc: Vpc, days: number): void {
  const { region } = stack.settings;
  const name = `/entityos-gate/${stack.settings.environment}/flows`;
  const arn = `arn:aws:logs:${region}:${stack.account}:log-group:${name}`;
  const key = stack.encryptionKey("flows-key", "flow logs", {
    keeps: true,
    services: [
      {
        Sid: "Logs",
        Effect: "Allow",
        Principal: { Service: `logs.${region}.amazonaws.com` },
        Action: [
          "kms:Encrypt",
          "kms:Decrypt",
          "kms:ReEncryptFrom",
          "kms:ReEncryptTo",
          "kms:GenerateDataKey",
          "kms:GenerateDataKeyWithoutPlaintext",
          "kms:DescribeKey",
        ],
        Resource: "*",
        Condition: { ArnEquals: { "kms:EncryptionContext:aws:logs:arn": arn } },
      },
    ],
  });
  const group = new CloudwatchLogGroup(stack, "flows", { name, kmsKeyId: key.arn, retentionInDays: days });
  stack.keep(group);
  const role = new IamRole(stack, "flows-role", {
    name: stack.named("flows"),
    assumeRolePolicy: trust("vpc-flow-logs.amazonaws.com", stack.account),
  });
  new IamRolePolicy(stack, "flows-policy", {
    name: "write",
    role: role.id,
    policy: policy([
      {
        Sid: "Write",
        Effect: "Allow",
        Action: ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
        Resource: `${arn}:*`,
      },
    ]),
  });
  new FlowLog(stack, "flow-log", {
    vpcId: vpc.id,
    trafficType: "ALL",
    logDestination: group.arn,
    iamRoleArn: role.arn,
    maxAggregationInterval: 60,
    tags: { Name: stack.named("flows") },
  });
}
