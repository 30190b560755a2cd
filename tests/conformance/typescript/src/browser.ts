// Runs a plan inside a page. The runner of Chromium loads this and calls `runPlan`.

import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { run, type Plan } from "./core.js";


globalThis.runPlan = async (plan) => {
  const outcomes = await run(JSON.parse(plan) as Plan, {
    async transport({ address }) {
      return createGrpcWebTransport({ baseUrl: `http://${address}` });
    },
    async read(upload) {
      if (!upload.url) {
        throw new Error("an upload from a browser needs a URL");
      }
      const response = await fetch(upload.url);
      if (!response.ok) {
        throw new Error(`${upload.url}: HTTP ${response.status}`);
      }
      return new Uint8Array(await response.arrayBuffer());
    },
  });
  return JSON.stringify(outcomes, null, 1);
};
