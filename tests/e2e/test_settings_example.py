"""deploy/settings: a server starts with the settings of the example, and takes over another key."""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.support.command import CELESTE

EXAMPLE = Path(__file__).parents[2] / "deploy" / "settings" / "celeste.yaml"
PLACES = {"0.0.0.0:50051": "127.0.0.1:0", "0.0.0.0:9464": "127.0.0.1:0"}


def test_a_server_starts_with_the_example(tmp_path: Path) -> None:
    text, secret = EXAMPLE.read_text(), tmp_path / "openai"
    for theirs, ours in {**PLACES, "/run/secrets/openai": str(secret), "/var/lib/celeste": str(tmp_path / "s")}.items():
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    secret.write_text("sk-" + "a" * 40)
    secret.chmod(0o400)
    file = tmp_path / "celeste.yaml"
    file.write_text(text)
    file.chmod(0o644)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CELESTE_")}
    command = [*CELESTE, "config", "check", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), "nor is there a warning"
    command = [*CELESTE, "serve", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as server:
        assert server.stderr
        lines = map(json.loads, server.stderr)
        serving = next(line for line in lines if line["event"] == "serving")
        assert serving["metrics"].startswith("http://127.0.0.1:")
        file.write_text(text.replace("final: [openai/gpt-image-2", "best: [openai/gpt-image-2"))
        server.send_signal(signal.SIGHUP)
        reloaded = next(line for line in lines if line["event"] == "configuration reloaded")
        assert reloaded["applied"] == ["aliases.best", "aliases.final"]
        server.send_signal(signal.SIGTERM)
        assert "stopped" in server.stderr.read()
    assert server.returncode == 0
