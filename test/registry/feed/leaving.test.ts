import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { LeavingIssuers } from "../../../registry/feed/leaving.ts";
import { all, type Store } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";
import { startAgent, until } from "./agent.ts";
import { startControl } from "./setup.ts";

/** The infrastructure CA of that common name is the one that signs. */
const signs = ({ store }: { readonly store: Store }, name: string) =>
  store.write(function* (db) {
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
    await using control = await startControl();
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
    await until(() => (beats()?.seenAt ?? 0) > seenAt + 3_000);
    expect(told).to.have.length(3);
  });

  it("are given 20 ms each, a second at least and five minutes at most", async () => {
    await using harness = await Harness.open();
    await signs(harness, "another");
    const leaving = new LeavingIssuers(harness.store, silentLog);
    const windows: number[] = [];
    for (const agents of [1, 50, 51, 14_999, 15_001]) {
      const told = new Set<number>();
      const tellToRenew = (spreadMs: number) => told.add(spreadMs).size > 0;
      await leaving.look(() => Array.from({ length: agents }, () => ({ issuer: "before", tellToRenew })));
      windows.push(...told);
    }
    expect(windows).to.deep.equal([1_000, 1_000, 1_020, 299_980, 300_000]);
  });
});
