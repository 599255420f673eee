import { CloudwatchMetricAlarm } from "@cdktf/provider-aws/lib/cloudwatch-metric-alarm/index.js";
import { SnsTopic } from "@cdktf/provider-aws/lib/sns-topic/index.js";
import { SnsTopicPolicy } from "@cdktf/provider-aws/lib/sns-topic-policy/index.js";
import { SnsTopicSubscription } from "@cdktf/provider-aws/lib/sns-topic-subscription/index.js";
import type { Construct } from "constructs";
import type { Balancer } from "./balancer.ts";
import type { DatabaseStack } from "./database.ts";
import type { AwsSettings } from "./form.ts";
import type { RegistryStack } from "./registry.ts";
import type { RestrictedStack } from "./restricted.ts";
import { AwsStack, policy } from "./stack.ts";

const MINUTE_S = 60;
/** Bytes: what a database is to have free. */
const FREE_BYTES = 5 * 2 ** 30;

interface Alarm {
  readonly id: string;
  readonly why: string;
  readonly namespace: string;
  readonly metric: string;
  readonly statistic: "Maximum" | "Minimum" | "Average";
  readonly when: "GreaterThanThreshold" | "LessThanThreshold";
  readonly threshold: number;
  readonly minutes: number;
  readonly dimensions: Readonly<Record<string, string>>;
  /** What it means that nothing is told. */
  readonly missing: "breaching" | "notBreaching";
}

/** What an operator is told by mail; what the registry itself knows is in `entityos status` and its metrics. */
export class AlarmsStack extends AwsStack {
  readonly topic: SnsTopic;

  constructor(
    scope: Construct,
    settings: AwsSettings,
    { registry, restricted, database }: { registry: RegistryStack; restricted: RestrictedStack | null; database: DatabaseStack | null },
  ) {
    super(scope, "alarms", settings);
    this.topic = this.#topic(settings.alarms.email);
    const machines = new Map([["registry", registry.instance], ...(restricted?.instances ?? [])]);
    const services = restricted === null ? [] : [restricted.ipv4, restricted.ipv6];
    for (const balancer of [registry.balancer, ...services]) this.#balancer(balancer);
    for (const [name, { id }] of machines) {
      this.#alarm({
        id: `${name}-status`,
        why: `${name}: the machine or its hardware failed its checks`,
        namespace: "AWS/EC2",
        metric: "StatusCheckFailed",
        statistic: "Maximum",
        when: "GreaterThanThreshold",
        threshold: 0,
        minutes: 3,
        dimensions: { InstanceId: id },
        missing: "breaching",
      });
    }
    if (database !== null) this.#database(database);
  }

  #topic(email: string): SnsTopic {
    const account = { StringEquals: { "aws:SourceAccount": this.account } };
    const principal = { Service: "cloudwatch.amazonaws.com" };
    const key = this.encryptionKey("alarms-key", "alarms", {
      keeps: false,
      services: [
        {
          Sid: "Alarms",
          Effect: "Allow",
          Principal: principal,
          Action: ["kms:Decrypt", "kms:GenerateDataKey"],
          Resource: "*",
          Condition: account,
        },
      ],
    });
    const topic = new SnsTopic(this, "topic", { name: this.named("alarms"), kmsMasterKeyId: key.arn });
    new SnsTopicPolicy(this, "topic-policy", {
      arn: topic.arn,
      policy: policy([
        { Sid: "Alarms", Effect: "Allow", Principal: principal, Action: ["sns:Publish"], Resource: topic.arn, Condition: account },
      ]),
    });
    new SnsTopicSubscription(this, "mail", { topicArn: topic.arn, protocol: "email", endpoint: email });
    return topic;
  }

  #balancer({ name, lb, targets }: Balancer): void {
    const of = {
      namespace: "AWS/NetworkELB",
      dimensions: { LoadBalancer: lb.arnSuffix, TargetGroup: targets.arnSuffix },
    } as const;
    this.#alarm({
      ...of,
      id: `${name}-unhealthy`,
      why: `${name}: a target does not answer as it must`,
      metric: "UnHealthyHostCount",
      statistic: "Maximum",
      when: "GreaterThanThreshold",
      threshold: 0,
      minutes: 5,
      missing: "notBreaching",
    });
    this.#alarm({
      ...of,
      id: `${name}-none`,
      why: `${name}: no target answers`,
      metric: "HealthyHostCount",
      statistic: "Minimum",
      when: "LessThanThreshold",
      threshold: 1,
      minutes: 2,
      missing: "breaching",
    });
  }

  #database({ instance }: DatabaseStack): void {
    const of = { namespace: "AWS/RDS", dimensions: { DBInstanceIdentifier: instance.identifier }, missing: "breaching" } as const;
    this.#alarm({
      ...of,
      id: "database-full",
      why: "database: less than 5 GiB are free",
      metric: "FreeStorageSpace",
      statistic: "Minimum",
      when: "LessThanThreshold",
      threshold: FREE_BYTES,
      minutes: 5,
    });
  }

  #alarm({ id, why, metric, when, minutes, missing, dimensions, ...rest }: Alarm): void {
    new CloudwatchMetricAlarm(this, id, {
      ...rest,
      alarmName: this.named(id),
      alarmDescription: why,
      metricName: metric,
      comparisonOperator: when,
      period: MINUTE_S,
      evaluationPeriods: minutes,
      treatMissingData: missing,
      dimensions: { ...dimensions },
      alarmActions: [this.topic.arn],
      okActions: [this.topic.arn],
    });
  }
}
