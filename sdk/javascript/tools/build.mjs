// Bundles a plugin with the SDK into one module, and makes a component of it. Told what to do by one JSON argument.
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
import { rolldown } from "rolldown";

const asked = JSON.parse(process.argv[2]);
try {
  const bundle = await rolldown({
    input: asked.entry,
    resolve: { alias: { pointsman$: asked.sdk } },
    // The host's.
    external: [/^pointsman:/],
    // There is neither Node.js nor a browser where it runs.
    platform: "neutral",
    onLog(level, log, next) {
      // A name that is not found is no warning here: nobody would supply it.
      if (log.code === "UNRESOLVED_IMPORT") throw new Error(log.message);
      next(level, log);
    },
  });
  await bundle.write({ file: asked.bundle, format: "esm" });
  await bundle.close();
  const { component } = await componentize({
    sourcePath: asked.bundle,
    witPath: asked.wit,
    worldName: asked.world,
    disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
  });
  await writeFile(asked.out, component);
} catch (error) {
  console.error(error?.message ?? String(error));
  process.exitCode = 1;
}
