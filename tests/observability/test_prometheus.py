"""A real Prometheus and a real server: scraping, rules, alerts, and every query of the dashboards."""

import asyncio
import math
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support.prometheus import DEPLOY, Prometheus, prometheus
from tests.support.promql import alerts, panel_queries, recorded, tried, without_threshold
from tests.support.watched import Watched, watched

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.observability]

DEAD = "127.0.0.1:1"
"""A target where nothing listens."""
DATA_SECONDS = 30
PANELS = {name: tried(target["expr"]) for name, target in panel_queries().items()}
FIRING = {
    "CelesteNotScraped",
    "CelesteReloadRefused",
    "CelesteBudgetBurnsFast",
    "CelesteBudgetBurnsSlowly",
    "CelesteRefusesCalls",
    "CelesteProviderFailing",
    "CelesteCallsUncertain",
    "CelesteModelEnds",
    "CelesteWorkersEnd",
    "CelesteArtifactDamaged",
}


@dataclass
class Site:
    """A server under load, and the Prometheus that scrapes it."""

    server: Watched
    prometheus: Prometheus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    """A site after its load. A counter's first value is no increase for Prometheus, so there are two rounds."""
    async with watched() as server, prometheus([server.metrics, DEAD]) as scraping:
        await server.use_ending_model()
        for _ in range(2):
            await server.work()
            await server.fail()
            await server.kill_workers()
            await server.damage()
            await scraped(scraping)
        await server.reload("")
        await server.reload("\n[log]\nno_such_key = 1\n")
        await server.work()
        await scraped(scraping)
        yield Site(server, scraping)


async def scraped(scraping: Prometheus) -> None:
    """Returns once the server was scraped twice more, and the rules evaluated."""
    before = await scrapes(scraping)
    async with asyncio.timeout(DATA_SECONDS):
        while await scrapes(scraping) < before + 3:
            await asyncio.sleep(0.2)


async def scrapes(scraping: Prometheus) -> int:
    found = await scraping.query("count_over_time(celeste_build_info[1h])")
    return int(found[0]["value"][1]) if found else 0


def numbers(result: list[dict[str, Any]]) -> list[float]:
    """Returns the values of a result that are numbers."""
    values = [float(series["value"][1]) for series in result]
    return [value for value in values if not math.isnan(value)]


async def test_the_server_is_scraped(site: Site) -> None:
    health = {
        target["scrapeUrl"]: (target["health"], target["lastError"]) for target in await site.prometheus.targets()
    }
    assert health.pop(f"http://{site.server.metrics}/metrics") == ("up", "")
    assert [state for state, _ in health.values()] == ["down"]


@pytest.mark.parametrize("expr", PANELS.values(), ids=PANELS)
async def test_a_query_of_a_dashboard_returns_data(site: Site, expr: str) -> None:
    assert numbers(await site.prometheus.query(expr))


@pytest.mark.parametrize("rule", recorded(), ids=lambda rule: f"{rule['record']} {rule.get('labels', '')}")
async def test_a_recording_rule_returns_data(site: Site, rule: dict[str, Any]) -> None:
    labels = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
    assert numbers(await site.prometheus.query(f"{rule['record']}{{{labels}}}"))


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
async def test_the_query_of_an_alert_returns_data(site: Site, rule: dict[str, Any]) -> None:
    assert numbers(await site.prometheus.query(without_threshold(rule["expr"])))


async def test_what_went_wrong_is_told_and_nothing_else(site: Site) -> None:
    firing = await site.prometheus.alerts()
    # This machine may be busy, and half a minute foretells no day: the operators' alerts wait before they fire.
    assert set(firing) - {"CelesteLoopLate", "CelesteStoreFills"} == FIRING
    (lost,) = firing["CelesteNotScraped"]
    assert lost["labels"]["instance"] == DEAD
    (failing,) = firing["CelesteProviderFailing"]
    assert failing["labels"]["gen_ai_provider_name"] == "openai"
    (ends,) = firing["CelesteWorkersEnd"]
    assert "compose" in ends["labels"]["pool"]
    for alert in (alert for found in firing.values() for alert in found):
        assert "no value" not in alert["annotations"]["summary"]


async def test_each_failed_call_has_a_reason_and_an_outcome(site: Site) -> None:
    by_outcome = {
        series["metric"]["outcome"]: float(series["value"][1])
        for series in await site.prometheus.query("sum by (outcome) (job:celeste_calls:rate5m)")
    }
    for outcome in ("ok", "server", "provider", "refused", "caller"):
        assert by_outcome[outcome] > 0, outcome
    (failed,) = numbers(await site.prometheus.query("sum(celeste_rpc_errors_total)"))
    code = 'rpc_response_status_code!="OK"'
    assert [failed] == numbers(await site.prometheus.query(f"sum(rpc_server_call_duration_seconds_count{{{code}}})"))


async def test_exemplars_lead_to_traces(site: Site) -> None:
    found = await site.prometheus.exemplars("rpc_server_call_duration_seconds_bucket")
    traces = {exemplar["labels"]["trace_id"] for exemplar in found}
    assert traces
    assert traces <= {span.trace_id for span in site.server.receiver.spans}


async def test_promtool_finds_no_fault_in_the_metrics(site: Site) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        page = (await http.get(f"http://{site.server.metrics}/metrics", headers={"accept": "text/plain"})).text
    assert page.count("\n") > 500
    await asyncio.to_thread(promtool, "check", "metrics", text=page)


async def test_promtool_finds_no_fault_in_the_configuration() -> None:
    said = await asyncio.to_thread(promtool, "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))
    assert f"{len(alerts())} rules found" in said
    assert f"{len(recorded())} rules found" in said


async def test_the_tests_of_the_rules_pass() -> None:
    files = sorted(map(str, (DEPLOY / "prometheus" / "tests").glob("*.yml")))
    assert (await asyncio.to_thread(promtool, "test", "rules", *files)).count("SUCCESS") == len(files)


def promtool(*arguments: str, text: str = "") -> str:
    """Runs promtool and returns what it says."""
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (text and done.stderr), done.stderr  # `check metrics` warns there
    return done.stdout
