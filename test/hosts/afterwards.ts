import { sweep } from "./network.ts";

/** Waits until whoever started it is gone, and takes away what it left: a run that was interrupted leaves nothing until the next one. */
for await (const _ of process.stdin) void _;
await sweep();
