import { nameReleased } from "./names.ts";
import { sweep } from "./network.ts";

/** Waits until whoever started it, the run of the name that is given, is gone, and takes away what it left: a run that was interrupted leaves nothing until the next one. */
for await (const _ of process.stdin) void _;
await nameReleased(process.argv[2] ?? "");
await sweep();
