"""Words that look like commands: they are never drawn, and the error says what to type instead."""

from celeste_image.core.nearest import nearest

__all__ = ["instead_of"]

SIMILAR = 0.75
"""How alike a single word and a reserved one are, 0 to 1 by difflib, for a slip: hlep and help are 0.75."""
SLIPS = ("help", "version", "configure", "login", "status", "update", "upgrade", "install")
"""The reserved words whose slips count too; a slip in a shorter one may well be the word of a thing."""

EDITS = (
    *("erase", "inpaint", "outpaint", "instruct", "remove-background", "replace-background"),
    *("restyle", "recolor", "search-replace", "relight", "vary", "control"),
)
MODELS = ("pull", "add", "export", "import")
HELP = "celeste --help, or celeste COMMAND --help"
KEYS = (
    "keys of vendors come from variables such as OPENAI_API_KEY or from celeste.toml; to check them: celeste providers "
    "check; to make one for a caller of a server: celeste callers new-key"
)
SETTINGS = "celeste config init, check, show or schema"
NO_JOBS = "celeste has no jobs: each command waits for its result"
UPDATE = "celeste has no updater: pull the checkout and run make there, or install the new version with pip"
LISTS = "celeste models, or celeste providers"
WEIGHTS = "celeste models pull MODEL"
START = "celeste serve"
STOP = "a server in the foreground ends with Ctrl-C, another one with SIGTERM"
LOGS = "celeste serve writes its log to standard error"
STATUS = "celeste health, or celeste models"

RESERVED: dict[str, str] = {
    **dict.fromkeys(("help", "man", "commands", "docs", "h", "?", "/?", "/help"), HELP),
    **dict.fromkeys(("version", "ver", "about"), "celeste --version"),
    **dict.fromkeys(("diagnose", "check", "verify", "test"), "celeste doctor, health, or providers check"),
    **dict.fromkeys(("key", "keys", "auth", "login", "logout", "token", "credentials"), KEYS),
    **dict.fromkeys(("configure", "conf", "settings", "set", "get", "init", "setup", "context"), SETTINGS),
    **dict.fromkeys(("list", "ls", "show", "search"), LISTS),
    **dict.fromkeys(("install", "download", "weights", "remove", "rm", "delete", "uninstall"), WEIGHTS),
    **dict.fromkeys(("status", "info", "ping", "ps"), STATUS),
    **dict.fromkeys(("start", "run", "server", "daemon", "up", "listen", "restart"), START),
    **dict.fromkeys(("stop", "down", "kill", "quit", "exit"), STOP),
    **dict.fromkeys(("update", "upgrade", "self-update"), UPDATE),
    **dict.fromkeys(("log", "logs"), LOGS),
    **dict.fromkeys(("job", "jobs", "queue", "batch", "cancel", "history", "again"), NO_JOBS),
    **dict.fromkeys(
        ("image", "images", "artifact", "artifacts"), "artifacts/... is an IMAGE of upscale, edit and analyze"
    ),
    **dict.fromkeys(("gen", "txt2img", "text2image", "img2img"), 'celeste "PROMPT", or celeste edit IMAGE "PROMPT"'),
    **dict.fromkeys(("describe", "inspect", "identify"), "celeste analyze IMAGE"),
    **dict.fromkeys(("enlarge", "resize", "scale"), "celeste upscale IMAGE"),
    **dict.fromkeys(("mock", "fake"), "celeste emulate"),
    **dict.fromkeys(("ui", "desktop", "mcp", "plan", "compare", "budget", "completion", "db", "admin"), HELP),
    **{kind: f"celeste edit {kind} IMAGE" for kind in EDITS},
    **{word: f"celeste models {word}" for word in MODELS},
}


def instead_of(word: str, *, alone: bool) -> str:
    """Returns what to type instead of a word that looks like a command, or an empty string for a prompt.

    Args:
        word: The first word of the arguments.
        alone: Whether options or nothing follow. Then a slip in a reserved word counts too.
    """
    word = word.casefold()
    near = nearest(word, SLIPS, SIMILAR) if alone else None
    return RESERVED.get(word) or (RESERVED[near] if near else "")
