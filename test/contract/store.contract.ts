import { expect } from "chai";
import { Problem } from "../../lib/problem.ts";
import { readHead } from "../../registry/store/queries.ts";
import { all, type Builder, type Command, first, type Store, type Together } from "../../registry/store/store.ts";

/** One database, empty at first. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  /** Closes the store and opens the same data again. */
  reopen(): Promise<Store>;
}

const put = (key: string, value = "1") =>
  function* (db: Builder): Command<string> {
    yield* all(db.insertInto("meta").values({ key, value }));
    return key;
  };
const get = (key: string) =>
  function* (db: Builder): Command<string | undefined> {
    return (yield* first(db.selectFrom("meta").select("value").where("key", "=", key)))?.value;
  };
const failing = (key: string) =>
  function* (db: Builder): Command<never> {
    yield* put(key)(db);
    throw new RangeError(`no ${key}`);
  };

/** What every Storage must do alike. */
export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} as Storage`, () => {
    let under: StoreUnderTest;
    let store: Store;
    beforeEach(async () => {
      under = await open();
      store = under.store;
    });
    afterEach(() => under[Symbol.asyncDispose]());

    it("hands back what a command returns, and reads what was written", async () => {
      expect(await store.write(put("a", "x"))).to.equal("a");
      expect(await store.read(get("a"))).to.equal("x");
    });

    it("lets a command read its own writes, and nobody else before the commit", async () => {
      const write = store.write(function* (db) {
        yield* put("a")(db);
        return yield* get("a")(db);
      });
      expect(await store.read(get("a"))).to.equal(undefined);
      expect(await write).to.equal("1");
    });

    it("undoes a command that throws, and it alone", async () => {
      const results = await Promise.allSettled([store.write(put("a")), store.write(failing("b")), store.write(put("c"))]);
      expect(results.map(({ status }) => status)).to.deep.equal(["fulfilled", "rejected", "fulfilled"]);
      expect(results[1]).to.have.property("reason").that.is.instanceOf(RangeError);
      expect(await Promise.all(["a", "b", "c"].map((key) => store.read(get(key))))).to.deep.equal(["1", undefined, "1"]);
    });

    it("rejects a command whose query fails, and it alone", async () => {
      await store.write(put("a"));
      const results = await Promise.allSettled([store.write(put("a")), store.write(put("b"))]);
      expect(results.map(({ status }) => status)).to.deep.equal(["rejected", "fulfilled"]);
      expect(await store.read(get("b"))).to.equal("1");
    });

    it("keeps the order of writes", async () => {
      const write = (value: string) =>
        store.write((db) =>
          all(
            db
              .insertInto("meta")
              .values({ key: "order", value })
              .onConflict((conflict) =>
                conflict.column("key").doUpdateSet((eb) => ({ value: eb("meta.value", "||", eb.ref("excluded.value")) })),
              ),
          ),
        );
      await Promise.all(["a", "b", "c", "d"].map(write));
      expect(await store.read(get("order"))).to.equal("abcd");
    });

    /** Writes keys; refuses "refused" alone, and throws for "thrown". */
    const putAll: Together<string, string> = function* (db, keys) {
      for (const key of keys) if (key !== "refused") yield* put(key)(db);
      if (keys.includes("thrown")) throw new RangeError("thrown");
      return keys.map((key) => (key === "refused" ? new Problem(422, "refused", "Refused.") : key));
    };
    const together = async (...keys: string[]) => {
      const results = await Promise.allSettled(keys.map((key) => store.writeTogether(putAll, key)));
      return results.map((result) => (result.status === "fulfilled" ? result.value : String(result.reason.code ?? result.reason.message)));
    };

    it("tells each of those that came together what became of it", async () => {
      expect(await together("a", "refused", "b")).to.deep.equal(["a", "refused", "b"]);
      expect(await Promise.all(["a", "refused", "b"].map((key) => store.read(get(key))))).to.deep.equal(["1", undefined, "1"]);
    });

    it("undoes one of them that throws, and it alone", async () => {
      expect(await together("a", "thrown", "b")).to.deep.equal(["a", "thrown", "b"]);
      expect(await Promise.all(["a", "thrown", "b"].map((key) => store.read(get(key))))).to.deep.equal(["1", undefined, "1"]);
    });

    it("wakes the watchers of a write's topics after its commit, not those of a write that failed", async () => {
      const heard: string[] = [];
      using _head = store.watch("head", () => void heard.push("head"));
      using _inbox = store.watch("inbox", () => void heard.push("inbox"));
      const seen = new Promise((resolve) => {
        const watch = store.watch("outcome", () => {
          watch[Symbol.dispose]();
          resolve(store.read(get("a")));
        });
      });
      await Promise.allSettled([store.write(failing("b"), ["inbox"]), store.write(put("a"), ["head", "outcome"])]);
      expect(await seen).to.equal("1");
      expect(heard).to.deep.equal(["head"]);
    });

    it("wakes nobody who stopped watching, and everybody else though one throws", async () => {
      let heard = 0;
      store.watch("head", () => heard++)[Symbol.dispose]();
      using _broken = store.watch("head", () => {
        throw new Error("a watcher");
      });
      const told = new Promise<void>((resolve) => {
        store.watch("head", resolve);
      });
      await store.write(put("a"), ["head"]);
      await told;
      expect(heard).to.equal(0);
    });

    it("lets a command ride along, or leaves it out; alone it never stands, and what it does is told once it is durable", async () => {
      const told: unknown[] = [];
      const done = (key: string) => void told.push(key);
      using _rider = store.ride("inbox", { command: put("rider"), wakes: ["outcome"], quiets: () => [], done, failed: () => {} });
      await store.write(put("a"), ["head"]);
      expect(await store.read(get("rider"))).to.equal(undefined);
      await Promise.allSettled([store.write(failing("b"), ["inbox"])]);
      expect(await store.read(get("rider"))).to.equal(undefined);
      await store.write(put("c"), ["inbox"]);
      expect(told).to.deep.equal((await store.read(get("rider"))) === undefined ? [] : ["rider"]);
    });

    it("undoes a rider that throws, and it alone", async () => {
      const errors: unknown[] = [];
      const rider = {
        command: failing("rider"),
        wakes: ["head"],
        quiets: () => [],
        done: () => {},
        failed: (error: unknown) => errors.push(error),
      } as const;
      const riding = store.ride("inbox", rider);
      expect(await store.write(put("a"), ["inbox"])).to.equal("a");
      riding[Symbol.dispose]();
      await store.write(put("b"), ["inbox"]);
      expect(await Promise.all(["a", "b", "rider"].map((key) => store.read(get(key))))).to.deep.equal(["1", "1", undefined]);
      expect(errors.length).to.be.at.most(1);
    });

    it("shows one moment in a snapshot, whatever is written meanwhile", async () => {
      await store.write(put("a", "old"));
      await using view = await store.snapshot();
      await store.write((db) => all(db.updateTable("meta").set({ value: "new" }).where("key", "=", "a")));
      expect(await view.read(get("a"))).to.equal("old");
      expect(await store.read(get("a"))).to.equal("new");
    });

    it("refuses to write in a read", async () => {
      const error = await store.read(put("a")).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(Error);
      expect(await store.read(get("a"))).to.equal(undefined);
    });

    it("keeps what it acknowledged when it is opened again", async () => {
      await Promise.all(Array.from({ length: 600 }, (_, index) => store.write(put(`key ${index}`))));
      const again = await under.reopen();
      const rows = await again.read((db) => all(db.selectFrom("meta").select("key").where("key", "like", "key %")));
      expect(rows).to.have.length(600);
    });

    it("does every write that was accepted before it is closed, and refuses those after", async () => {
      const writes = Array.from({ length: 600 }, (_, index) => store.write(put(`key ${index}`)));
      const again = under.reopen();
      await Promise.all(writes);
      const late = await store.write(put("late")).catch((reason: unknown) => reason);
      expect(late).to.deep.include({ code: "storage_unavailable", status: 503 });
      expect(await (await again).read(get("late"))).to.equal(undefined);
    });

    it("begins at revision 0 with an epoch of its own, which stays", async () => {
      const head = await store.read(readHead);
      expect(head).to.deep.include({ term: 0, revision: 0, digest: "00000000000000000000000000000000", rules: 0 });
      expect(head.epoch).to.match(/^[0-9a-f-]{36}$/);
      expect((await (await under.reopen()).read(readHead)).epoch).to.equal(head.epoch);
    });
  });
}
