// Runs a plan from Node: gRPC over HTTP/2, or gRPC-Web.

import { readFile, writeFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { run, type Case, type Plan, type Tls } from "./core.js";

const [planPath, outcomesPath] = process.argv.slice(2);
if (!planPath || !outcomesPath) {
  console.error("usage: node.js PLAN OUTCOMES");
  process.exit(2);
}
const plan = JSON.parse(await readFile(planPath, "utf8")) as Plan;
const connections = new Map<string, { transport: Transport; session?: Http2SessionManager }>();

async function connect({ address, tls }: Case) {
  const baseUrl = `${tls ? "https" : "http"}://${address}`;
  if (plan.transport === "grpc-web") {
    return { transport: createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }) };
  }
  const session = new Http2SessionManager(baseUrl, undefined, tls && (await filesOf(tls)));
  return { transport: createGrpcTransport({ baseUrl, sessionManager: session }), session };
}

async function filesOf({ ca, cert, key }: Tls) {
  const shown = cert && key ? { cert: await readFile(cert), key: await readFile(key) } : {};
  return { ca: await readFile(ca), ...shown };
}

function placeOf({ address, tls }: Case) {
  return JSON.stringify([address, tls]);
}

const outcomes = await run(plan, {
  async transport(planned) {
    const connection = connections.get(placeOf(planned)) ?? (await connect(planned));
    connections.set(placeOf(planned), connection);
    return connection.transport;
  },
  async lost(planned) {
    await setImmediate(); // the connection's own end comes after that of the call
    const session = connections.get(placeOf(planned))?.session;
    if (session?.state() === "closed") {
      return "the server closed the connection";
    }
    const error = session?.error();
    return error === undefined ? undefined : String(error);
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
