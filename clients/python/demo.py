"""`make demo`: starts a real server, generates, upscales and edits images in out/, stops the server.

Each step is a command that a user could type; the demo prints the command before it runs.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = Path("out")
LOG = OUT / "server.log"
PHOTO = Path("docs/images/astronaut.jpg")
UPSCALER = "local/realesrgan-animevideov3"
START_SECONDS = "30"
STOP_SECONDS = 20


def celeste(*arguments: str) -> list[str]:
    """Prints a command, and returns its argument list for this interpreter."""
    print(f"\n$ celeste {shlex.join(arguments)}", flush=True)
    return [sys.executable, "-m", "celeste_image.cli.main", *arguments]


def run(*arguments: str) -> None:
    """Prints and runs a command. Raises CalledProcessError, which ends the demo, if it fails."""
    subprocess.run(celeste(*arguments), check=True)


def free_port() -> int:
    """Returns a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Runs the demo and returns its exit status."""
    began = time.monotonic()
    os.chdir(ROOT)
    OUT.mkdir(exist_ok=True)
    for model in (UPSCALER, "local/restyle", "local/u2netp"):
        run("models", "pull", model)
    address = f"127.0.0.1:{free_port()}"
    os.environ["CELESTE_ADDRESS"] = address
    serve = celeste("serve", "--listen", address, "--store", (ROOT / OUT / "artifacts").as_uri())
    with LOG.open("wb") as log:
        server = subprocess.Popen(serve, stderr=log)
    print(f"(its log goes to {LOG})", flush=True)
    try:
        run("health", "--wait", START_SECONDS)
        run("models")
        for name, prompt in (
            ("lighthouse", "a lighthouse and a sailboat on the sea at sunset"),
            ("fox", "a red fox in a snowy forest at night"),
        ):
            run("generate", prompt, "--seed", "7", "--out", f"{OUT}/{name}.png", "--force")
        run("upscale", str(PHOTO), "--model", UPSCALER, "--factor", "4", "--out", f"{OUT}/astronaut-4x.png", "--force")
        run(
            "edit",
            "restyle",
            str(PHOTO),
            "--style",
            "starry-night",
            "--out",
            f"{OUT}/astronaut-starry-night.png",
            "--force",
        )
        run("edit", "remove-background", str(PHOTO), "--out", f"{OUT}/astronaut-cut.png", "--force")
        run("analyze", str(PHOTO))
    except subprocess.CalledProcessError as error:
        print(f"\nthe command above ended with exit status {error.returncode}; see {LOG}", file=sys.stderr)
        return 1
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(STOP_SECONDS)
    if status:
        print(f"the server ended with exit status {status}; see {LOG}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - began:.1f} s. The images are in {OUT}/:", flush=True)
    for image in sorted(OUT.glob("*.png")):
        print(f"  {image}  {image.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
