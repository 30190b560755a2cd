// Makes the calls of a plan over any Connect transport and reports their outcomes. Runs in Node and in browsers.

import {
  create,
  createRegistry,
  fromBinary,
  fromJson,
  toJson,
  type DescFile,
  type DescMethod,
  type DescService,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import * as contract from "@celeste-image/client";
import {
  ArtifactService,
  WriteArtifactChunkRequestSchema,
  WriteArtifactRequestSchema,
} from "@celeste-image/client";
import {
  Code,
  ConnectError,
  createClient,
  decodeBinaryHeader,
  encodeBinaryHeader,
  type CallOptions,
  type Transport,
} from "@connectrpc/connect";

export interface Plan {
  transport: "grpc" | "grpc-web";
  cases: Case[];
}

export interface Case {
  name: string;
  address: string;
  tls?: Tls;
  call: string;
  request?: JsonObject;
  metadata?: Record<string, string>;
  deadline_seconds?: number;
  cancel_after?: number;
  at_once?: number;
  upload?: Upload;
  download?: boolean;
}

/** Files in PEM: the authorities to trust, and the certificate to show with its key. */
export interface Tls {
  ca: string;
  cert?: string;
  key?: string;
}

export interface Upload {
  path?: string;
  url?: string;
  chunk_bytes: number;
  offset?: number;
  stop_after?: number;
  name?: string;
  size_bytes?: number | string;
}

export interface Outcome {
  name: string;
  code: string;
  message: string;
  messages: JsonValue[];
  details: JsonObject[];
  headers: Record<string, string[]>;
  trailers: Record<string, string[]>;
  download?: { size_bytes: number; sha256: string; contiguous: boolean };
  sent_bytes?: number;
  seconds: number;
}

/** What differs between Node and a browser. */
export interface Host {
  /** Returns the transport to the server of a case. */
  transport(planned: Case): Promise<Transport>;
  /** Returns why the connection of a failed case ended; undefined if it did not. Connect has a code for each reason. */
  lost?(planned: Case): Promise<string | undefined>;
  /** Returns the bytes of an upload. */
  read(upload: Upload): Promise<Uint8Array<ArrayBuffer>>;
}

const PACKAGE = "celeste.image.v1";

// Every file and service of the contract, so that a new one needs no code here.
const exported = Object.values<unknown>(contract).filter(isDescriptor);
const registry: Registry = createRegistry(...exported);

function isDescriptor(value: unknown): value is DescFile | DescService {
  const kind = typeof value === "object" && value !== null && "kind" in value && value.kind;
  return kind === "file" || kind === "service";
}

/** Makes all calls of a plan, one after the other. */
export async function run(plan: Plan, host: Host): Promise<{ outcomes: Outcome[] }> {
  const outcomes: Outcome[] = [];
  for (const planned of plan.cases) {
    const calls = Array.from({ length: planned.at_once ?? 1 }, () => runCase(planned, host));
    outcomes.push(...(await Promise.all(calls)));
  }
  return { outcomes };
}

async function runCase(planned: Case, host: Host): Promise<Outcome> {
  const outcome: Outcome = {
    name: planned.name,
    code: "OK",
    message: "",
    messages: [],
    details: [],
    headers: {},
    trailers: {},
    seconds: 0,
  };
  let start = performance.now();
  try {
    const method = findMethod(planned.call);
    const transport = await host.transport(planned);
    const bytes = planned.upload && (await host.read(planned.upload));
    const name = planned.upload?.name ?? (bytes && `artifacts/sha256-${await sha256(bytes)}`);
    start = performance.now();
    const call = new Call(outcome, planned, transport);
    if (planned.upload && bytes && name !== undefined) {
      await call.upload(method, new Chunks(planned.upload, bytes, name, outcome));
    } else if (planned.download) {
      await call.download();
    } else {
      await call.make(method);
    }
  } catch (error) {
    const answered = !(error instanceof ConnectError) || error.metadata.has("grpc-status");
    const lost = answered ? undefined : await host.lost?.(planned);
    try {
      if (lost === undefined) {
        reportError(outcome, error);
      } else {
        outcome.code = "UNAVAILABLE";
        outcome.message = lost;
      }
    } catch (unreadable) {
      reportClientError(outcome, unreadable);
    }
  }
  outcome.seconds = (performance.now() - start) / 1000;
  return outcome;
}

function findMethod(name: string): DescMethod {
  const [service, method] = name.split("/");
  const found = registry.getService(`${PACKAGE}.${service}`)?.methods.find((candidate) => candidate.name === method);
  if (!found) {
    throw new Error(`the generated code has no method ${name}`);
  }
  return found;
}

/** One case on its way: makes the calls and writes down what comes back. */
class Call {
  private readonly abort = new AbortController();
  private received = 0;

  constructor(
    private readonly outcome: Outcome,
    private readonly planned: Case,
    private readonly transport: Transport,
  ) {}

  /** Makes a unary or a server streaming call. */
  async make(method: DescMethod): Promise<void> {
    const request = fromJson(method.input, this.planned.request ?? {}, { registry });
    // The name of the method comes from the plan, so its client has no type here.
    const client = createClient(method.parent, this.transport) as Record<string, unknown>;
    if (method.methodKind === "unary") {
      const unary = client[method.localName] as (request: Message, options: CallOptions) => Promise<Message>;
      this.keep(method, await unary(request, this.options()));
    } else if (method.methodKind === "server_streaming") {
      const stream = client[method.localName] as (request: Message, options: CallOptions) => AsyncIterable<Message>;
      for await (const message of stream(request, this.options())) {
        this.keep(method, message);
      }
    } else {
      throw new Error(`${method.name} needs an upload`);
    }
  }

  /** Sends the chunks in one stream, or in one unary call each. */
  async upload(method: DescMethod, chunks: Chunks): Promise<void> {
    const client = createClient(ArtifactService, this.transport);
    if (method === ArtifactService.method.writeArtifact) {
      this.keep(method, await client.writeArtifact(chunks.stream(), this.options()));
    } else if (method === ArtifactService.method.writeArtifactChunk) {
      for (const request of chunks.requests()) {
        const response = await client.writeArtifactChunk(request, this.options());
        this.keep(method, response);
        if (response.artifact) {
          break;
        }
      }
    } else {
      throw new Error(`${method.name} takes no upload`);
    }
  }

  /** Reads an artifact and reports size, digest and order of its chunks. */
  async download(): Promise<void> {
    const method = ArtifactService.method.readArtifact;
    const request = fromJson(method.input, this.planned.request ?? {}, { registry });
    const parts: Uint8Array[] = [];
    let next = request.offset;
    let contiguous = true;
    try {
      const client = createClient(ArtifactService, this.transport);
      for await (const { chunk } of client.readArtifact(request, this.options())) {
        if (chunk) {
          contiguous &&= chunk.offset === next;
          next = chunk.offset + BigInt(chunk.data.length);
          parts.push(chunk.data);
        }
        this.count();
      }
    } finally {
      const bytes = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
      this.outcome.download = { size_bytes: bytes.length, sha256: await sha256(bytes), contiguous };
    }
  }

  private options(): CallOptions {
    const headers = new Headers();
    for (const [key, value] of Object.entries(this.planned.metadata ?? {})) {
      headers.set(key, key.endsWith("-bin") ? encodeBinaryHeader(base64Decode(value)) : value);
    }
    return {
      headers,
      timeoutMs: (this.planned.deadline_seconds ?? 60) * 1000,
      signal: this.abort.signal,
      onHeader: (header) => (this.outcome.headers = metadata(header)),
      onTrailer: (trailer) => (this.outcome.trailers = metadata(trailer)),
    };
  }

  private keep(method: DescMethod, message: Message): void {
    if (this.abort.signal.aborted) {
      return; // a message that was on its way when the call was cancelled
    }
    this.outcome.messages.push(toJson(method.output, message, { registry }));
    this.count();
  }

  private count(): void {
    this.received += 1;
    if (this.received === this.planned.cancel_after) {
      this.abort.abort();
    }
  }
}

/** The messages of an upload, counted as the transport takes them. */
class Chunks {
  constructor(
    private readonly planned: Upload,
    private readonly bytes: Uint8Array,
    private readonly name: string,
    private readonly outcome: Outcome,
  ) {
    outcome.sent_bytes = 0;
  }

  /** Yields one unary request per chunk. */
  *requests() {
    for (const chunk of this.chunks()) {
      yield create(WriteArtifactChunkRequestSchema, { ...this.whole(), chunk });
    }
  }

  /** Yields the messages of one stream: only the first has name and size. */
  async *stream() {
    let whole: ReturnType<Chunks["whole"]> | undefined = this.whole();
    for (const chunk of this.chunks()) {
      yield create(WriteArtifactRequestSchema, { ...whole, chunk });
      whole = undefined;
    }
  }

  private whole() {
    return { name: this.name, sizeBytes: BigInt(this.planned.size_bytes ?? this.bytes.length) };
  }

  private *chunks() {
    const { chunk_bytes: length, offset = 0, stop_after: most = Infinity } = this.planned;
    // The first chunk is sent even if no byte is left, for an empty file and for a resume at the end.
    for (let at = offset, sent = 0; sent < most && (sent === 0 || at < this.bytes.length); at += length, sent += 1) {
      const data = this.bytes.subarray(at, at + length);
      this.outcome.sent_bytes = (this.outcome.sent_bytes ?? 0) + data.length;
      yield { offset: BigInt(at), data };
    }
  }
}

function reportError(outcome: Outcome, error: unknown): void {
  if (!(error instanceof ConnectError) || isClientError(error)) {
    reportClientError(outcome, error);
    return;
  }
  outcome.code = statusName(error.code);
  outcome.message = error.rawMessage;
  // Connect puts headers and trailers of a failed call into one object.
  for (const [key, values] of Object.entries(metadata(error.metadata))) {
    if (!(key in outcome.headers)) {
      outcome.trailers[key] = values;
    }
  }
  for (const detail of error.details) {
    if ("desc" in detail) {
      continue; // details that a server sends; a client never has these
    }
    const schema = registry.getMessage(detail.type);
    const fields = schema && (toJson(schema, fromBinary(schema, detail.value), { registry }) as JsonObject);
    outcome.details.push(fields ? { "@type": detail.type, ...fields } : { "@type": detail.type, unknown: true });
  }
}

function reportClientError(outcome: Outcome, error: unknown): void {
  outcome.code = "CLIENT_ERROR";
  outcome.message = String(error);
}

/**
 * Returns whether Connect itself made this error, for example because it can't parse a response.
 *
 * A status of the server leaves `grpc-status` in the metadata. Without it, an error may still have the code that gRPC
 * gives to a lost connection, a reset, an HTTP status, or the caller's own deadline or cancel.
 */
function isClientError(error: ConnectError): boolean {
  const local = [Code.Canceled, Code.DeadlineExceeded, Code.Unavailable];
  const mapped = /^(HTTP \d|http\/2 stream closed with error code)/.test(error.rawMessage);
  return !error.metadata.has("grpc-status") && !local.includes(error.code) && !mapped;
}

/** Returns the name of a status code as gRPC writes it: `INVALID_ARGUMENT`. */
function statusName(code: Code): string {
  if (code === Code.Canceled) {
    return "CANCELLED";
  }
  return (Code[code] ?? String(code)).replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

/** Returns metadata without the headers of the transport. Connect joins the values of a repeated key by `, `. */
function metadata(headers: Headers): Record<string, string[]> {
  const kept: Record<string, string[]> = {};
  headers.forEach((value, key) => {
    if (key.endsWith("-bin") && key !== "grpc-status-details-bin") {
      kept[key] = value.split(",").map((part) => base64Encode(decodeBinaryHeader(part.trim())));
    } else if (!key.startsWith("grpc-") && key !== "content-type") {
      kept[key] = [value];
    }
  });
  return kept;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
