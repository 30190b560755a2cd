// Bundles the runners of plans, dist/node.js and dist/chromium.js, the runner of pages, dist/block.js, and the script that
// Chromium loads, dist/browser.js.

import { build } from "esbuild";

const here = import.meta.dirname;
const shared = { bundle: true, format: "esm", outdir: "dist", absWorkingDir: here };
const node = { platform: "node", target: "node20", packages: "bundle", external: ["playwright-core", "esbuild"] };
await build({ ...shared, ...node, entryPoints: ["src/node.ts", "src/chromium.ts", "src/block.ts"] });
await build({ ...shared, entryPoints: ["src/browser.ts"], platform: "browser", target: "es2022" });
