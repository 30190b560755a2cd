// Checks and runs a program of a page, word for word: in Chromium if it imports connect-web, else in Node.
//
// In Chromium, console output goes to standard output, and downloads go to the folder. A rule such as
// `MAP localhost:8080 127.0.0.1:9901` sends the program to another address than the one in its text.

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { withPage } from "./page.js";

const [block, folder, rules] = process.argv.slice(2);
if (!block || !folder) {
  console.error('usage: block.js PROGRAM.ts FOLDER ["MAP HOST:PORT HOST:PORT"]');
  process.exit(2);
}
const runner = join(import.meta.dirname, "..");
mkdirSync(join(runner, "out"), { recursive: true });
// Inside the runner the program finds the runner's packages.
const work = mkdtempSync(join(runner, "out", "block-"));
try {
  process.exitCode = await check(work, block, resolve(folder));
} finally {
  rmSync(work, { recursive: true });
}

async function check(work: string, block: string, folder: string): Promise<number> {
  const program = join(work, "program.ts");
  cpSync(block, program);
  const inBrowser = readFileSync(program, "utf8").includes("@connectrpc/connect-web");
  const options = inBrowser
    ? { types: [], module: "esnext", moduleResolution: "bundler" }
    : { types: ["node"], module: "nodenext" };
  writeFileSync(
    join(work, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { ...options, target: "es2022", strict: true, noUncheckedIndexedAccess: true, noEmit: true },
      files: ["program.ts"],
    }),
  );
  const types = spawnSync(join(runner, "node_modules/.bin/tsc"), ["-p", work], { stdio: "inherit" });
  if (types.status !== 0) {
    return 1;
  }
  const outfile = join(work, "program.js");
  await build({
    entryPoints: [program],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: inBrowser ? "browser" : "node",
    logLevel: "warning",
  });
  return inBrowser ? await inChromium(outfile, folder) : inNode(outfile, folder);
}

function inNode(script: string, folder: string): number {
  return spawnSync(process.execPath, [script], { cwd: folder, stdio: "inherit" }).status ?? 1;
}

async function inChromium(script: string, folder: string): Promise<number> {
  return await withPage(
    readFileSync(script, "utf8"),
    new Map(),
    async (page) => {
      const saved: Promise<void>[] = [];
      page.on("console", (message) => console.log(message.text()));
      page.on("download", (download) => saved.push(download.saveAs(join(folder, download.suggestedFilename()))));
      try {
        await page.evaluate('import("/script.js")');
        await page.waitForTimeout(500); // a download begins after the click that asks for it
        await Promise.all(saved);
        return 0;
      } catch (error) {
        console.error(error instanceof Error ? error.message : error);
        return 1;
      }
    },
    rules,
  );
}
