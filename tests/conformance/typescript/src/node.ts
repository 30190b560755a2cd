// Runs a plan from Node: gRPC over HTTP/2 without TLS, or gRPC-Web.

import { readFile, writeFile } from "node:fs/promises";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { run, type Plan } from "./core.js";

const [planPath, outcomesPath] = process.argv.slice(2);
if (!planPath || !outcomesPath) {
  console.error("usage: node.js PLAN OUTCOMES");
  process.exit(2);
}
const plan = JSON.parse(await readFile(planPath, "utf8")) as Plan;
const connections = new Map<string, { transport: Transport; session?: Http2SessionManager }>();

function connect(address: string) {
  const baseUrl = `http://${address}`;
  if (plan.transport === "grpc-web") {
    return { transport: createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }) };
  }
  const session = new Http2SessionManager(baseUrl);
  return { transport: createGrpcTransport({ baseUrl, sessionManager: session }), session };
}

const outcomes = await run(plan, {
  transport(address) {
    const connection = connections.get(address) ?? connect(address);
    connections.set(address, connection);
    return connection.transport;
  },
  async read(upload) {
    if (!upload.path) {
      throw new Error("an upload from Node needs a path");
    }
    return new Uint8Array(await readFile(upload.path));
  },
});
await writeFile(outcomesPath, JSON.stringify(outcomes, null, 1));
for (const { session } of connections.values()) {
  session?.abort();
}
