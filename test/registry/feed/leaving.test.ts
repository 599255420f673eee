import { expect } from "chai";
import { all } from "../../../registry/store/store.ts";
import { startAgent, until } from "./agent.ts";
import { type Control, startControl } from "./setup.ts";

/** The infrastructure CA of that common name is the one that signs. */
const signs = (control: Control, name: string) =>
  control.store.write(function* (db) {
    yield* all(db.deleteFrom("authorities"));
    const row = {
      ca: "infrastructure-00000000",
      kind: "infrastructure",
      name,
      state: "active",
      certificate: "",
      told: 1,
      since: 1,
    } as const;
    yield* all(db.insertInto("authorities").values(row));
  });

describe("agents whose CA signs no more", () => {
  it("are told once a connection, over a window for all of them, and others are not", async () => {
    await using control = await startControl(100);
    const told: string[] = [];
    const start = async (name: string) =>
      startAgent(control, name, await control.enroll(name), undefined, undefined, {
        onRenew: (spreadMs) => told.push(`${name} ${spreadMs}`),
      });
    await using _first = await start("host1");
    await using _second = await start("host2");
    await until(() => control.feed.agents().length === 2);
    await signs(control, "another");
    await until(() => told.length === 2);
    expect(told.sort()).to.deep.equal(["host1 1000", "host2 1000"]);
    await using _third = await start("host3");
    await until(() => told.length === 3);
    expect(told.at(-1)).to.equal("host3 1000");
    const issuer = control.issuer;
    expect([control.feed.showing(issuer).toSorted(), control.feed.showing("another")]).to.deep.equal([["host1", "host2", "host3"], []]);
    // It signs again: who comes now is told nothing.
    await signs(control, issuer);
    await using _fourth = await start("host4");
    const beats = () => control.feed.agents().find((agent) => agent.name === "host4");
    await until(() => beats() !== undefined);
    const { seenAt } = beats() ?? { seenAt: 0 };
    await until(() => (beats()?.seenAt ?? 0) > seenAt + 300);
    expect(told).to.have.length(3);
  });
});
