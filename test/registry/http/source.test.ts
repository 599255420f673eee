import { expect } from "chai";
import type { FastifyRequest } from "fastify";
import { observedAddress, sourceOf } from "../../../registry/http/source.ts";

const from = (remoteAddress: string): FastifyRequest => Object.assign(Object.create(null), { socket: { remoteAddress } });

describe("the source of a request", () => {
  it("is the peer's canonical address, mapped and link-local ones too", () => {
    expect(observedAddress(from("::ffff:8.8.4.4"))).to.deep.equal({ family: 4, address: "8.8.4.4" });
    expect(observedAddress(from("fe80::1%eth0"))).to.deep.equal({ family: 6, address: "fe80::1" });
  });

  it("counts as one for limits: an IPv4 address, an IPv6 /64", () => {
    expect(["8.8.4.4", "::ffff:8.8.4.4", "8.8.4.5"].map((address) => sourceOf(from(address)))).to.deep.equal([
      "8.8.4.4/32",
      "8.8.4.4/32",
      "8.8.4.5/32",
    ]);
    expect(["2606:4700::1", "2606:4700::ffff:1", "2606:4700:0:1::1"].map((address) => sourceOf(from(address)))).to.deep.equal([
      "2606:4700::/64",
      "2606:4700::/64",
      "2606:4700:0:1::/64",
    ]);
  });
});
