import { processIo } from "./io.ts";
import { runCli } from "./run.ts";

// Whoever reads our output may have seen enough (| head): that is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

process.exitCode = await runCli(process.argv.slice(2), processIo);
