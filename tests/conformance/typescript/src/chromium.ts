// Runs a plan from a headless Chromium: gRPC-Web to an Envoy.

import { readFile, writeFile } from "node:fs/promises";
import type { Plan } from "./core.js";
import { withPage } from "./page.js";

const [planPath, outcomesPath] = process.argv.slice(2);
if (!planPath || !outcomesPath) {
  console.error("usage: chromium.js PLAN OUTCOMES");
  process.exit(2);
}
const plan = JSON.parse(await readFile(planPath, "utf8")) as Plan;
if (plan.transport !== "grpc-web") {
  console.error(`a browser has no transport ${plan.transport}, only grpc-web`);
  process.exit(2);
}

// A page cannot open files, so the page fetches each upload from here.
const files = new Map<string, string>();
for (const { upload } of plan.cases) {
  if (upload?.path) {
    upload.url = `/upload/${files.size}`;
    files.set(upload.url, upload.path);
  }
}

const script = await readFile(new URL("browser.js", import.meta.url), "utf8");
const outcomes = await withPage(script, files, async (page) => {
  await page.evaluate('import("/script.js")');
  return await page.evaluate((given) => globalThis.runPlan(given), JSON.stringify(plan));
});
await writeFile(outcomesPath, outcomes);
