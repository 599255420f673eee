import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

/** Makes the next generation of a CA and dies by SIGKILL before its nth rename, or after it: each file is put in place by one. */
const [folder = "", kind = "", moment = "", count = "0", now = "0"] = process.argv.slice(2);
const rename = fs.renameSync;
let left = Number(count);
fs.renameSync = (from, to) => {
  const isLast = --left === 0;
  if (isLast && moment === "before") process.kill(process.pid, "SIGKILL");
  rename(from, to);
  if (isLast) process.kill(process.pid, "SIGKILL");
};
syncBuiltinESMExports();

const { openAuthorities } = await import("../../../registry/ca/authorities.ts");
const authorities = openAuthorities(folder, "https://register.example");
await authorities.makeNext(kind as "root", Number(now));
process.stdout.write("made");
