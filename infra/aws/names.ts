import { PORT } from "../../lib/service.ts";

/** Names of an environment, all from its domain. */
export const namesOf = (domain: string) => ({
  service: domain,
  serviceIpv4: `v4.${domain}`,
  serviceIpv6: `v6.${domain}`,
  register: `register.${domain}`,
  registerIpv4: `v4.register.${domain}`,
  registerIpv6: `v6.register.${domain}`,
  /** Inside the network alone. */
  control: `control.${domain}`,
  controlUrl: `https://control.${domain}:${PORT.control}`,
});
