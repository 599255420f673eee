// Runs on whatever Node npm came with, so: CommonJS, no syntax newer than Node 14.
// npm 9 (Debian 12 and 13) drops node_modules/.bin/node when the package of the other architecture is skipped; put it back.
"use strict";
const fs = require("node:fs"),
  path = require("node:path"),
  cp = require("node:child_process");
const bin = path.join(__dirname, "..", "node_modules", ".bin");
const pkg = `node-linux-${process.arch}`;
const pinned = path.join(bin, "..", pkg, "bin", "node");
if (fs.existsSync(pinned)) {
  fs.mkdirSync(bin, { recursive: true });
  const tmp = path.join(bin, `.node-${process.pid}`);
  fs.symlinkSync(path.join("..", pkg, "bin", "node"), tmp);
  fs.renameSync(tmp, path.join(bin, "node"));
}
const v = cp
  .execFileSync(fs.existsSync(pinned) ? pinned : process.execPath, ["-p", "process.versions.node"])
  .toString()
  .trim();
if (parseInt(v, 10) < 24) {
  console.error(
    "entityOS gate needs Node 24 or newer: this is Node " +
      v +
      " and " +
      pkg +
      " is not in the lockfile for " +
      process.platform +
      "/" +
      process.arch +
      ".\nInstall Node 24 (https://nodejs.org) and run npm ci again.",
  );
  process.exit(1);
}
