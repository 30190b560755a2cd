"""Instruments: every metric of the server, declared once. `docs/metrics.md` is made from this file.

    REQUESTS.add(1, "value of the first label", "value of the second")
    SECONDS.record(0.2, "value of the first label")
    ending = DEPTH.watch(lambda: [(3, ("value of the first label",))])

Names are OpenTelemetry's. Prometheus has `_` for each dot, the unit at the end, and `_total` for counters.
"""

from http import HTTPStatus

from celeste_image.core.errors import ERRORS
from celeste_image.core.request import OperationKind
from celeste_image.core.result import ResultSource
from celeste_image.core.safety import SafetyAction, SafetyStage
from celeste_image.telemetry.series import Counter, Gauge, Histogram, Instrument, Label

__all__ = ["INSTRUMENTS"]

CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Bounds for calls: some take 2 ms, and an image takes minutes."""
STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

GRPC_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)

# Labels

METHOD = Label(
    "rpc.method",
    "Full name of the RPC, `celeste.image.v1.ImageService/Generate`; `_OTHER` if unknown",
    source="methods",
)
CODE = Label("rpc.response.status_code", "gRPC code, `OK` or `NOT_FOUND`", GRPC_CODES)
REASON = Label("error.type", "Reason of the error: see errors.md", ERRORS)
FAILURE = Label("error.type", "Reason of the error: see errors.md; empty for a success", ("", *ERRORS))
OPERATION = Label("gen_ai.operation.name", "`generate`, `edit`, `upscale` or `analyze`", OperationKind)
PROVIDER = Label("gen_ai.provider.name", "Name of a provider of this server", source="providers")
MODEL = Label("gen_ai.request.model", "Id of a model in the catalog of this server; else `_OTHER`", source="models")
SOURCE = Label(
    "source",
    "Origin of the result: `made` now, `replayed` for a repeated request id, or `cached`",
    [source for source in ResultSource if source is not ResultSource.UNSPECIFIED],
)
STAGE = Label("stage", "What was checked: `prompt`, `input` or `output`", SafetyStage)
CATEGORY = Label("category", "Category of the safety policy; empty when a check failed", ("",), source="categories")
ACTION = Label("action", "What the policy did: `flag`, `blur` or `block`", SafetyAction)
HTTP_METHOD = Label("http.request.method", "HTTP method", ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"))
HOST = Label(
    "server.address", "Host of a provider that the configuration or this package names; else `_OTHER`", source="hosts"
)
STATUS = Label(
    "http.response.status_code",
    "HTTP status; empty without an answer; `_OTHER` for one that is not registered",
    ("", *(str(status.value) for status in HTTPStatus)),
)
EXCHANGE = Label(
    "error.type",
    "Why there is no usable answer: `not_sent`, `not_answered` or `bad_answer`; empty with an answer of any status",
    ("", "not_sent", "not_answered", "bad_answer"),
)
POOL = Label("pool", "Name of an engine of this server", source="engines")
WORKER_STATE = Label("state", "`busy` with a task, or `idle`", ("busy", "idle"))
WORKER_END = Label(
    "reason",
    "Why the process ended: `crashed`, also when the system killed it; `late`: it took too long, or did nothing; "
    "`malformed`: it sent a malformed message; `cancelled` with its task; `idle` for long; `weights`: there are other "
    "ones; `closed` by the server",
    ("crashed", "late", "malformed", "cancelled", "idle", "weights", "closed"),
)
BUDGET = Label("budget", "`calls`, or `chunks` for calls that carry chunks of artifacts", ("calls", "chunks"))
STORE_OPERATION = Label(
    "operation", "Operation of the artifact store", ("put", "get", "find", "read", "write", "finish", "delete", "sweep")
)
CERTIFICATE = Label(
    "certificate", "`server`, or `client_ca`: the CA of callers that expires first", ("server", "client_ca")
)
OUTCOME = Label("outcome", "`applied` or `refused`", ("applied", "refused"))

CACHE_USE = Label(
    "outcome",
    "`hit`; `joined`: an equal request was at work; `miss`; `refreshed` or `bypassed` by the request; `failed`: the "
    "database could not be read",
    ("hit", "joined", "miss", "refreshed", "bypassed", "failed"),
)
CACHE_END = Label(
    "reason",
    "`expired`; `budget`: least recently used in a full cache; `incomplete`: an image of it is gone",
    ("expired", "budget", "incomplete"),
)
CACHE_TIER = Label("tier", "`rows` with their images, or `memory`", ("rows", "memory"))

# RPC

RPC_DURATION = Histogram(
    "rpc.server.call.duration",
    "s",
    "Time of a call, from its arrival until gRPC has its response",
    (METHOD, CODE),
    CALL_SECONDS,
)
RPC_ACTIVE = Gauge("celeste.rpc.active", "", "Calls that are being handled", (METHOD,))
RPC_RECEIVED = Counter(
    "celeste.rpc.received", "By", "Size of the messages that callers sent, counted when a call ends", (METHOD,)
)
RPC_SENT = Counter(
    "celeste.rpc.sent", "By", "Size of the messages that callers were sent, counted when a call ends", (METHOD,)
)
RPC_ERRORS = Counter("celeste.rpc.errors", "", "Calls that failed, with those that were refused", (METHOD, REASON))

# Providers

PROVIDER_DURATION = Histogram(
    "gen_ai.client.operation.duration",
    "s",
    "Time of one try at a provider, without the wait for a slot",
    (OPERATION, PROVIDER, MODEL, FAILURE),
    CALL_SECONDS,
)
PROVIDER_WAIT = Histogram(
    "celeste.provider.wait.duration", "s", "Wait for a slot at a provider", (PROVIDER,), CALL_SECONDS
)
PROVIDER_QUEUE_DEPTH = Gauge("celeste.provider.queue.depth", "", "Tries that wait for a slot", (PROVIDER,))
PROVIDER_QUEUE_AGE = Gauge(
    "celeste.provider.queue.age",
    "s",
    "Wait so far of the try that waits longest; 0 if none waits",
    (PROVIDER,),
)
PROVIDER_ACTIVE = Gauge("celeste.provider.active", "", "Tries that have a slot", (PROVIDER,))
PROVIDER_PLACES = Gauge("celeste.provider.places", "", "Slots, used and free", (PROVIDER,))
PROVIDER_READY = Gauge(
    "celeste.provider.ready", "", "1 if the provider has a model that can be used now, else 0", (PROVIDER,)
)
PROVIDER_PAUSED = Gauge(
    "celeste.provider.paused",
    "",
    "1 while the provider gets no calls, since several in a row failed; else 0",
    (PROVIDER,),
)
PROVIDER_RETRIES = Counter(
    "celeste.provider.retries", "", "Tries that follow a failed one at the same provider", (PROVIDER, REASON)
)

# Images

IMAGES = Counter("celeste.images", "", "Images that were made", (OPERATION, PROVIDER, MODEL))
IMAGE_PIXELS = Counter("celeste.images.pixels", "", "Pixels of the images that were made", (OPERATION, PROVIDER, MODEL))
IMAGE_SIZE = Counter("celeste.images.size", "By", "Size of the images that were made", (OPERATION, PROVIDER, MODEL))
IMAGES_FAILED = Counter(
    "celeste.images.failed", "", "Images of a call that were not made, or may not be shown", (PROVIDER, REASON)
)
RESULTS = Counter("celeste.results", "", "Operations that ended with a result", (OPERATION, SOURCE))
SAFETY_VERDICTS = Counter(
    "celeste.safety.verdicts", "", "Verdicts of the operator's safety policy", (STAGE, CATEGORY, ACTION)
)

# Cache of results

CACHE_REQUESTS = Counter("celeste.cache.requests", "", "Requests by what the cache of results did", (CACHE_USE,))
CACHE_STORED = Counter("celeste.cache.stored", "", "Results that were stored in the cache")
CACHE_EVICTED = Counter("celeste.cache.evicted", "", "Results that were removed from the cache", (CACHE_END,))
CACHE_ERRORS = Counter("celeste.cache.errors", "", "Times that the cache could not be read or written")
CACHE_SIZE = Gauge(
    "celeste.cache.size", "By", "Size of the cached results, of all servers and in memory", (CACHE_TIER,)
)

# Outbound HTTP

HTTP_DURATION = Histogram(
    "http.client.request.duration",
    "s",
    "Time of an HTTP request to a provider, or to fetch an image, up to the end of the answer",
    (HTTP_METHOD, HOST, STATUS, EXCHANGE),
    CALL_SECONDS,
)

# Worker processes

WORKERS = Gauge("celeste.workers", "", "Worker processes", (POOL, WORKER_STATE))
WORKERS_WAITING = Gauge("celeste.workers.waiting", "", "Tasks that wait for a worker process", (POOL,))
WORKER_TASK_DURATION = Histogram(
    "celeste.worker.task.duration", "s", "Time of a task in a worker process", (POOL, FAILURE), CALL_SECONDS
)
WORKER_ENDS = Counter("celeste.worker.ends", "", "Worker processes that ended", (POOL, WORKER_END))

# Memory, store, process

BUDGET_HELD = Gauge("celeste.budget.held", "By", "Memory that calls hold", (BUDGET,))
BUDGET_LIMIT = Gauge("celeste.budget.limit", "By", "Memory that calls may hold together", (BUDGET,))
BUDGET_WAITING = Gauge("celeste.budget.waiting", "", "Calls that wait for memory", (BUDGET,))
STORE_DURATION = Histogram(
    "celeste.store.operation.duration",
    "s",
    "Time of an operation of the artifact store",
    (STORE_OPERATION, FAILURE),
    STORE_SECONDS,
)
LEDGER_UNCERTAIN = Gauge(
    "celeste.ledger.uncertain", "", "Calls to providers whose outcome is not known: they may have to be paid"
)
STORE_FREE = Gauge("celeste.store.free", "By", "Room that the artifact store has left; none for an object store")
MODEL_SHUTDOWN = Gauge(
    "celeste.model.shutdown",
    "s",
    "Time until the vendor ends a model, negative from then on; of models with such a date that can be used",
    (PROVIDER, MODEL),
)
LOOP_DELAY = Gauge("celeste.loop.delay", "s", "Longest time in the last minute in which the event loop was late")
CERTIFICATE_REMAINING = Gauge(
    "celeste.certificate.remaining",
    "s",
    "Time until a certificate of `server.tls` expires, negative from then on",
    (CERTIFICATE,),
)
CONFIG_RELOADS = Counter("celeste.config.reloads", "", "Times that the configuration was read again", (OUTCOME,))

INSTRUMENTS = tuple(value for value in list(globals().values()) if isinstance(value, Instrument))
"""All instruments, in the order of this file."""
