"""A real Prometheus, with the configuration that operators get, `deploy/prometheus/`."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.support import processes
from tests.support.ports import free_port

__all__ = ["DEPLOY", "Prometheus", "prometheus"]

DEPLOY = Path(__file__).parents[2] / "deploy"
START_SECONDS = 30
SCRAPE = "1s"


class Prometheus:
    """A running Prometheus.

    Args:
        http: A client of its API.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Returns the time series of a query: each has `metric` and `value`."""
        return list((await self._get("query", query=expr, **({} if at is None else {"time": at})))["result"])

    async def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Returns the time series of a query over time: each has `metric` and `values`. Times are in seconds."""
        found = await self._get("query_range", query=expr, start=start, end=end, step=step)
        return list(found["result"])

    async def exemplars(self, expr: str) -> list[dict[str, Any]]:
        """Returns the exemplars of the last hour: each has `labels`, `value` and `timestamp`."""
        now = time.time()
        found = await self._get("query_exemplars", query=expr, start=now - 3600, end=now)
        return [exemplar for series in found for exemplar in series["exemplars"]]

    async def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the alerts that fire, by their names."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in (await self._get("alerts"))["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    async def targets(self) -> list[dict[str, Any]]:
        """Returns the servers that are scraped: each has `health` and `lastError`."""
        return list((await self._get("targets"))["activeTargets"])

    async def _get(self, path: str, **parameters: Any) -> Any:
        answer = (await self._http.get(f"/api/v1/{path}", params=parameters)).json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]


@contextlib.asynccontextmanager
async def prometheus(targets: Sequence[str]) -> AsyncIterator[Prometheus]:
    """Runs Prometheus. It scrapes each second, and alerts at once instead of after some minutes.

    Args:
        targets: Addresses to scrape, `host:port`.

    Raises:
        RuntimeError: Prometheus did not start; with the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        _write_configuration(folder, targets)
        process, address = await asyncio.to_thread(_start, folder)
        try:
            async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as http:
                yield Prometheus(http)
        finally:
            await asyncio.to_thread(processes.end, process)


def _write_configuration(folder: Path, targets: Sequence[str]) -> None:
    """Writes the operators' configuration into a folder, with other targets and without waiting."""
    for path in (DEPLOY / "prometheus").glob("*.yml"):
        shutil.copy(path, folder)
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE, "scrape_timeout": SCRAPE}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "targets.yml").write_text(json.dumps([{"targets": list(targets)}]))  # JSON is YAML
    alerts = yaml.safe_load((folder / "alerts.yml").read_text())
    for rule in (rule for group in alerts["groups"] for rule in group["rules"]):
        rule.pop("for", None)
    (folder / "alerts.yml").write_text(yaml.safe_dump(alerts))


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Starts Prometheus and waits until it is ready. Returns its process and its address."""
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += ["--enable-feature=exemplar-storage", "--log.level=warn"]
    for _ in range(5):  # another process may take the port
        address = f"127.0.0.1:{free_port()}"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, f"--web.listen-address={address}"],
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if _is_ready(address):
                return process, address
            if time.monotonic() > until:
                processes.end(process)
                break
            time.sleep(0.05)
    raise RuntimeError(f"Prometheus did not start:\n{(folder / 'log').read_text(errors='replace')[-4000:]}")


def _is_ready(address: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://{address}/-/ready", trust_env=False, timeout=5).status_code == httpx.codes.OK
    return False
