import { expect } from "chai";
import fc from "fast-check";
import { contains, parsePrefix } from "../../../lib/ip.ts";
import { Problem } from "../../../lib/problem.ts";
import { laneOf } from "../../../registry/rules/lane.ts";
import { type AddressPolicy, observedPrefix, requestedPrefixes } from "../../../registry/rules/policy.ts";

const ANY: AddressPolicy = { addresses: "any", maxAddresses: 4, widest4: 32, widest6: 64, observed6: 64 };

/** The prefixes as text, or the problem's code. */
function outcome(requested: readonly string[], policy: Partial<AddressPolicy> = {}, observed = "8.8.4.4", allowed: readonly string[] = []) {
  try {
    const networks = allowed.map((network) => parsePrefix(network));
    return requestedPrefixes(requested, observed.split(" "), { ...ANY, ...policy }, networks).map(({ text }) => text);
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}

describe("the addresses of a registration", () => {
  it("are the peer's own when it says observed: IPv4 alone, IPv6 with its /64 or alone", () => {
    expect(outcome(["observed"])).to.deep.equal(["8.8.4.4/32"]);
    expect(outcome(["observed"], {}, "2606:4700::1:2")).to.deep.equal(["2606:4700::/64"]);
    expect(outcome(["observed"], { observed6: 128 }, "2606:4700::1:2")).to.deep.equal(["2606:4700::1:2/128"]);
    expect(observedPrefix("::ffff:8.8.4.4", 64).text).to.equal("8.8.4.4/32");
  });

  it("are of both families when it was observed over both, whatever it connects over", () => {
    const both = ["observed4", "observed6"];
    expect(outcome(both, { addresses: "observed" }, "8.8.4.4 2606:4700::1:2")).to.deep.equal(["8.8.4.4/32", "2606:4700::/64"]);
    expect(outcome(both, { addresses: "observed" }, "2606:4700::1:2 8.8.4.4")).to.deep.equal(["8.8.4.4/32", "2606:4700::/64"]);
    expect(outcome(["observed"], {}, "2606:4700::1:2 8.8.4.4")).to.deep.equal(["2606:4700::/64"]);
    expect(outcome(["2606:4700::9/128"], { addresses: "observed" }, "8.8.4.4 2606:4700::1:2")).to.deep.equal(["2606:4700::9/128"]);
    expect(outcome(both)).to.equal("address_not_observed");
    expect(outcome(["observed4"], {}, "2606:4700::1")).to.equal("address_not_observed");
    expect(outcome(["observed5"])).to.equal("address_invalid");
  });

  it("are canonical, each once, in the order sent", () => {
    expect(outcome(["9.9.9.9", "observed", "2606:4700:0:0::/64", "9.9.9.9/32"])).to.deep.equal([
      "9.9.9.9/32",
      "8.8.4.4/32",
      "2606:4700::/64",
    ]);
  });

  const refusals: readonly [code: string, requested: readonly string[], policy?: Partial<AddressPolicy>, observed?: string][] = [
    ["nothing_requested", []],
    ["addresses_too_many", ["9.9.9.1", "9.9.9.2"], { maxAddresses: 1 }],
    ["prefix_too_wide", ["9.9.9.0/31"]],
    ["prefix_too_wide", ["9.9.8.0/23"], { widest4: 24 }],
    ["prefix_too_wide", ["2606:4700::/63"]],
    ["prefix_too_wide", ["observed"], { widest6: 65 }, "2606:4700::1"],
    ["prefix_host_bits", ["9.9.9.9/24"]],
    ["prefix_length", ["9.9.9.9/33"]],
    ["address_octal", ["010.0.0.1"]],
    ["address_zone", ["fe80::1%eth0"]],
    ["address_not_observed", ["9.9.9.9"], { addresses: "observed" }],
    ["address_not_observed", ["8.8.4.0/24"], { addresses: "observed", widest4: 24 }],
    ["address_outside_profile", ["9.9.9.9"], { addresses: [parsePrefix("8.8.0.0/16")] }],
    ["address_outside_profile", ["observed"], { addresses: [parsePrefix("2606:4700::/128")] }, "2606:4700::"],
    ["address_outside_profile", ["8.8.0.0/15"], { addresses: [parsePrefix("8.8.0.0/16")], widest4: 0 }],
  ];
  for (const [code, requested, policy, observed] of refusals) {
    it(`are refused with ${code}: ${requested.join(" ") || "none"}`, () => {
      expect(outcome(requested, policy, observed)).to.equal(code);
    });
  }

  it("may be told in full when they are what was observed, or part of it", () => {
    expect(outcome(["8.8.4.4"], { addresses: "observed" })).to.deep.equal(["8.8.4.4/32"]);
    expect(outcome(["2606:4700::9"], { addresses: "observed" }, "2606:4700::1")).to.deep.equal(["2606:4700::9/128"]);
    expect(outcome(["8.8.9.9"], { addresses: [parsePrefix("9.0.0.0/8"), parsePrefix("8.8.0.0/16")] })).to.deep.equal(["8.8.9.9/32"]);
  });

  it("are never more than the profile allows, whatever is asked for", () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.constant("observed"),
      fc.tuple(fc.ipV4(), fc.nat(32)).map(([address, length]) => `${address}/${length}`),
      fc.tuple(fc.nat(0xffff), fc.integer({ min: 0, max: 128 })).map(([n, length]) => `${n.toString(16)}::/${length}`),
    );
    const network = parsePrefix("8.0.0.0/7");
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), fc.ipV4(), fc.nat(32), (requested, observed, widest4) => {
        const result = outcome(requested, { addresses: [network], widest4 }, observed);
        if (typeof result === "string") return;
        for (const prefix of result.map((one) => parsePrefix(one))) {
          expect(contains(network, prefix), prefix.text).to.equal(true);
          expect(prefix.length).to.be.at.least(widest4);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("special-purpose addresses", () => {
  const special: readonly [code: string, ...texts: string[]][] = [
    ["address_unspecified", "0.0.0.0", "0.1.2.3", "::"],
    ["address_private", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd77::1"],
    ["address_shared", "100.64.0.1", "100.127.255.255"],
    ["address_loopback", "127.0.0.1", "127.255.0.1", "::1"],
    ["address_link_local", "169.254.1.1", "fe80::1", "febf::1"],
    ["address_multicast", "224.0.0.1", "239.255.255.255", "ff02::1"],
    ["address_broadcast", "255.255.255.255"],
    ["address_documentation", "192.0.2.1", "198.51.100.1", "203.0.113.7", "2001:db8::1", "3fff::1"],
    ["address_benchmark", "198.18.0.1", "198.19.255.255", "2001:2::1"],
    ["address_tunnel", "192.88.99.1", "2001::1", "2002:808:808::1", "64:ff9b::808:808"],
    ["address_reserved", "192.0.0.8", "240.0.0.1", "254.1.1.1", "100::1", "2001:10::1", "5f00::1", "fec0::1", "::2"],
    ["address_private", "10.0.0.0/8"],
    ["address_unspecified", "0.0.0.0/0"],
    ["address_private", "8.0.0.0/5"],
  ];
  for (const [code, ...texts] of special) {
    for (const text of texts) {
      it(`are refused with ${code}: ${text}`, () => {
        expect(outcome([text], { widest4: 0, widest6: 0 })).to.equal(code);
      });
    }
  }

  for (const text of [
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "198.17.0.1",
    "223.255.255.255",
    "2600::1",
    "2a00::1",
    "3ffe::1",
  ]) {
    it(`do not include ${text}`, () => {
      expect(outcome([text])).to.be.an("array");
    });
  }

  it("are refused as observed too, unless an allowed network holds them whole", () => {
    expect(outcome(["observed"], {}, "10.1.2.3")).to.equal("address_private");
    expect(outcome(["observed"], {}, "10.1.2.3", ["10.1.0.0/16"])).to.deep.equal(["10.1.2.3/32"]);
    expect(outcome(["10.1.0.0/15"], { widest4: 0 }, "8.8.4.4", ["10.1.0.0/16"])).to.equal("prefix_host_bits");
    expect(outcome(["10.0.0.0/15"], { widest4: 0 }, "8.8.4.4", ["10.1.0.0/16"])).to.equal("address_private");
    expect(outcome(["observed"], {}, "2001:db8::7", ["2001:db8::/32"])).to.deep.equal(["2001:db8::/64"]);
  });

  it("are refused with a sentence that says what to do", () => {
    try {
      requestedPrefixes(["192.168.1.1"], ["8.8.4.4"], ANY, []);
      expect.fail("was not refused");
    } catch (error) {
      expect(error).to.have.property(
        "message",
        "The address 192.168.1.1/32 is private: connect from the internet, or ask the operator to allow the network if it is meant.",
      );
    }
  });
});

describe("a pattern's lane", () => {
  it("is ip for ip and either, ipcert for both, and none for cert", () => {
    expect([laneOf("ip"), laneOf("either"), laneOf("both")]).to.deep.equal(["ip", "ip", "ipcert"]);
    expect(() => laneOf("cert"))
      .to.throw(Problem)
      .with.property("code", "addresses_not_offered");
  });
});
