import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../lib/log.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { storeContract } from "./store.contract.ts";

storeContract("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "entityos-store-"));
  const open = () => openSqliteStore({ file: join(folder, "registry.db"), log: silentLog });
  const opened = [await open()];
  const [store] = opened as [Awaited<ReturnType<typeof open>>];
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]();
      const again = await open();
      opened.push(again);
      return again;
    },
    async [Symbol.asyncDispose]() {
      for (const one of opened) await one[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
});
