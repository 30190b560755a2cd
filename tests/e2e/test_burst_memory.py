"""Memory of a burst: 256 images of 1.6 MB that a vendor sends at once, in a server with a small budget."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from bench.speed.load import check, drive
from bench.speed.machine import Peak, resident_mib
from bench.speed.targets import TARGETS, provider
from tests.support.command import CELESTE
from tests.support.ports import free_port
from tests.support.processes import end

IMAGES = 256
REST_SECONDS = 5

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextmanager
def serving(folder: Path, vendor: str, budget_mib: int) -> Iterator[tuple[str, int]]:
    """Runs a server. Yields its address and its process."""
    (folder / "celeste.toml").write_text(
        f'[store]\nurl = "{(folder / "store").as_uri()}"\n[log]\nlevel = "error"\n'
        f"[server]\nbudget_bytes = {budget_mib << 20}\nbudget_wait_seconds = 60\n"
        f"[images]\nmax_bytes = {budget_mib << 18}\n"
        f'[providers.bench]\nkind = "compatible"\nbase_url = "{vendor}/v1"\nallow_private = true\n'
        f'concurrency = {IMAGES}\nqueue = {IMAGES}\nmodels = [{{ id = "image" }}]\n'
    )
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen([*CELESTE, "serve", "--listen", address], cwd=folder)
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(60)
        yield address, server.pid
    finally:
        end(server)


@pytest.mark.faults
@pytest.mark.parametrize("budget_mib", [64, 128])
def test_a_burst_of_answers_stays_within_twice_the_budget(tmp_path: Path, budget_mib: int) -> None:
    call = TARGETS["celeste"].call
    with provider() as upstream, serving(tmp_path, upstream.base, budget_mib) as (address, pid):
        assert not check(f"http://{address}", call("small-0"), 1, 1)
        idle = resident_mib(pid)
        with Peak(pid) as peak:
            sample = drive(f"http://{address}", call("big-2000"), IMAGES, IMAGES)
        assert not sample.errors
        assert peak.mib <= idle + 2 * budget_mib
        rested = time.monotonic() + REST_SECONDS
        while (now := resident_mib(pid)) >= 3 * idle and time.monotonic() < rested:
            time.sleep(0.1)
        assert now < 3 * idle
        print(f"budget {budget_mib} MiB: idle {idle:.0f}, peak {peak.mib:.0f}, then {now:.0f} MiB")
