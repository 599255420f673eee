import { expect } from "chai";
import { ownNames } from "../../../registry/admin/names.ts";

describe("control's own names", () => {
  const own = ownNames({ names: ["Control.example", "192.0.2.1", "2001:DB8::1"], port: 8444 });

  it("are those of its configuration, on any port", () => {
    const hosts = ["control.example", "CONTROL.example:1", "192.0.2.1:8444", "[2001:db8::1]", "[2001:db8:0::1]:8444"];
    expect(hosts.filter((host) => own.isHost(host))).to.deep.equal(hosts);
  });

  for (const host of [
    undefined,
    "",
    "evil.example",
    "control.example.evil.example",
    "evil@control.example",
    "control.example/x",
    "[",
    "::1",
  ]) {
    it(`are not ${JSON.stringify(host) ?? "left out"}`, () => {
      expect(own.isHost(host)).to.equal(false);
    });
  }

  it("make origins with the port that control listens on, and no other", () => {
    const origins = ["https://control.example:8444", "https://[2001:db8::1]:8444"];
    const foreign = ["https://control.example", "http://control.example:8444", "https://control.example:8444/", "null"];
    expect([...origins, ...foreign].filter((origin) => own.isOrigin(origin))).to.deep.equal(origins);
    expect(ownNames({ names: ["control.example"], port: 443 }).isOrigin("https://control.example")).to.equal(true);
  });
});
