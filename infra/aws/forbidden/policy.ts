import type { Json, Resource } from "../synthesis.ts";

export interface Said {
  readonly Sid?: Json;
  readonly Effect?: Json;
  readonly Principal?: Json;
  readonly Action?: Json;
  readonly Resource?: Json;
  readonly Condition?: Json;
}

const VERSION = "2012-10-17";
/** NotAction, NotResource and NotPrincipal are not among them: who is allowed all but something is allowed what nobody thought of. */
const ELEMENTS = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
/** Attributes that hold a policy; no other one that might is on the list of attributes. */
const POLICIES = ["policy", "assume_role_policy"];

/** A policy that is written out as JSON, or what makes it unreadable. */
export function readPolicy(text: Json | undefined): readonly Said[] | string {
  if (typeof text !== "string") return "is no text";
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return "is not written out as JSON";
  }
  // What stands there twice, or escaped, might be read in another way by AWS.
  if (JSON.stringify(read) !== text) return "is written in another form than its own";
  if (typeof read !== "object" || read === null || Array.isArray(read)) return "is no policy";
  const { Version, Statement, ...rest } = read as { Version?: unknown; Statement?: unknown };
  if (Version !== VERSION || Object.keys(rest).length > 0) return `is not of version ${VERSION} alone`;
  if (!Array.isArray(Statement) || Statement.length === 0) return "has no list of statements";
  const other = Statement.flatMap((said) => Object.keys(said as object)).find((name) => !ELEMENTS.includes(name));
  return other === undefined ? (Statement as Said[]) : `says ${other}`;
}

/** Statements of a policy as it stands in Terraform's JSON; none of one that cannot be read. */
export function statementsOf(policy: Json | undefined): readonly Said[] {
  const read = readPolicy(policy);
  return typeof read === "string" ? [] : read;
}

export const policiesOf = ({ fields }: Resource): (readonly [field: string, policy: Json])[] =>
  Object.entries(fields).filter(([field]) => POLICIES.includes(field));
