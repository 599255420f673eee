import type { Fields } from "../../../infra/aws/synthesis.ts";
import type { EnvironmentName, Open, OpenSynthesis } from "./synthesised.ts";
/** A slip of the hand: where it is made, what it does, and what the rule must say of it. */
export interface Mutation {
  readonly of?: EnvironmentName;
  readonly break: (synthesis: OpenSynthesis) => void;
  readonly found: readonly string[];
}

export const ref = (text: string): string => ["$", `{${text}}`].join("");
export const HOST = ["restricted", "aws_instance", "web-1"] as const;
export const REGISTRY = ["registry", "aws_instance", "registry"] as const;
export const INGRESS = "aws_vpc_security_group_ingress_rule";
export const DATABASE = ["database", "aws_db_instance", "database"] as const;
export const rule = (group: string, more: Fields): Fields => ({
  security_group_id: ref(`aws_security_group.${group}.id`),
  ip_protocol: "tcp",
  ...more,
});
export const inside = (open: Open, key: string): Open => {
  const one = open[key];
  return (Array.isArray(one) ? one[0] : one) as Open;
};
export const addStatement = (open: Open, statement: Readonly<Record<string, unknown>>, field = "policy"): void => {
  const policy = JSON.parse(String(open[field])) as { Statement: unknown[] };
  policy.Statement.push(statement);
  open[field] = JSON.stringify(policy);
};
