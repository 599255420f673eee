/** What the stack of hosts calls things of its own: a host is called otherwise. */
const TAKEN = ["aws", "account", "debian", "registry"];
const BALANCERS = ["register", "service-ipv4", "service-ipv6"];
/** Roles of the account that are called after what they are for. */
const ROLES = ["flows", "snapshots"];
/** What a host's name is continued with, for its role and what that may do. */
const ENDINGS = ["role", "policy", "own", "own-policy", "profile"];

/** What is wrong with a host's name beside its form; null when nothing is. @param names of all hosts */
export function nameProblem(name: string, names: readonly (string | null)[]): string | null {
  if (name === "registry") return "the registry's own host is called registry";
  if (TAKEN.includes(name) || ROLES.includes(name)) return `${name} is what something else is called: take another name`;
  const balancer = BALANCERS.find((one) => name === one || name.startsWith(`${one}-`));
  if (balancer !== undefined) return `${name} is what is called after the load balancer ${balancer}: take another name`;
  const before = names.find((one) => one !== null && ENDINGS.some((ending) => name === `${one}-${ending}`));
  return before == null ? null : `${name} is what something of the host ${before} is called: take another name`;
}
