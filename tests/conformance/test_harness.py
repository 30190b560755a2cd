"""The harness itself: it must see what is wrong, and leave no RPC of the contract out."""

from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cases import make, read_cases
from tests.conformance.clients import CLIENTS
from tests.conformance.expect import image_problems, problems, trace_problems
from tests.conformance.matrix import Column, report, table

from celeste_image import v1

SERVICES = (v1.image_service_pb2, v1.artifact_service_pb2, v1.model_service_pb2, v1.usage_service_pb2)

WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"code": "NOT_FOUND"}, {"code": "OK"}),
    ({"code": ["NOT_FOUND", "UNKNOWN"]}, {"code": "OK"}),
    ({}, {"code": "NOT_FOUND", "message": "no"}),
    ({"response": {"a": 1}}, {"code": "OK", "messages": []}),
    ({"response": {"a": 1}}, {"code": "OK", "messages": [{"a": 2}]}),
    ({"response": {"a": True}}, {"code": "OK", "messages": [{"a": 1}]}),
    ({"response": {"a": "<absent>"}}, {"code": "OK", "messages": [{"a": 0}]}),
    ({"response": {"a": [1, 2]}}, {"code": "OK", "messages": [{"a": [1]}]}),
    ({"response": {"a": {"any": 3}}}, {"code": "OK", "messages": [{"a": [1, 2]}]}),
    ({"response": {"a": "~[0-9]+"}}, {"code": "OK", "messages": [{"a": "7x"}]}),
    ({"seconds": {"between": [0, 1]}}, {"code": "OK", "seconds": 2}),
    ({"details": {"ErrorInfo": {}}}, {"code": "OK", "details": [{"@type": "google.rpc.RetryInfo"}]}),
    ({"kinds": "started completed"}, {"code": "OK", "messages": [{"event": {"started": {}}}]}),
    ({"download": {"size_bytes": 1}}, {"code": "OK"}),
]
"""Expectations with outcomes that do not meet them."""


def event(sequence: int, request_id: str = "", **kind: Any) -> dict[str, Any]:
    first = {"requestId": request_id} if request_id else {}
    return {"event": {"sequence": str(sequence), **kind}, **first}


@pytest.mark.parametrize(("expect", "outcome"), WRONG)
def test_a_wrong_outcome_is_seen(expect: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert problems(expect, outcome)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([event(1, started={}), event(2, completed={})], "requestId"),
        ([event(1, "id", started={}), event(3, completed={})], "sequence"),
        ([event(1, "id", progress={"fraction": 0.5}), event(2, progress={"fraction": 0.4})], "progress falls"),
    ],
)
def test_every_stream_is_checked(messages: list[Any], words: str) -> None:
    (line,) = problems({}, {"code": "OK", "messages": messages})
    assert words in line


def test_a_good_outcome_passes() -> None:
    expect = {"kinds": "started completed", "last": {"event": {"completed": {"images": [{"width": 64}]}}}}
    messages = [event(1, "id", started={}), event(2, completed={"images": [{"width": 64.0, "height": 1}]})]
    assert problems(expect, {"code": "OK", "messages": messages}) == []


def test_every_rpc_has_a_case() -> None:
    rpcs = {
        f"{service.name}/{method.name}"
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert rpcs == {case.given["call"] for case in read_cases()}


def test_each_client_stream_has_a_twin_for_browsers() -> None:
    twins = [case for case in read_cases() if case.given["call"].endswith("WriteArtifactChunk")]
    assert len(twins) >= sum(case.streams_requests for case in read_cases())


def test_a_skip_is_named_and_does_not_pass() -> None:
    skipped, good = Column("Rust", skipped="`cargo` is missing"), Column("Go", results={"a": []})
    lines = report([skipped, good]).splitlines()
    assert "1 of 2 clients passed." in lines
    assert "NOT TESTED, their toolchain is missing: Rust" in lines
    assert "cargo" in skipped.line()


def test_clients_have_different_names() -> None:
    names = [client.name for client in CLIENTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ({"spans": ["call", "POST"]}, {"spans": ["call"]}),
        ({"spans": []}, {"spans": ["call"]}),
        ({"spans": ["call"], "parent": "00f067aa0ba902b7"}, {"spans": ["call"], "parent": "10f067aa0ba902b7"}),
        ({"spans": [], "vendor": "~00-.*-00"}, {"spans": [], "vendor": None}),
    ],
)
def test_a_wrong_trace_is_seen(expect: dict[str, Any], wrong: dict[str, Any]) -> None:
    assert trace_problems(expect, wrong)
    assert not trace_problems({"spans": wrong["spans"]}, wrong)


def test_a_case_that_a_client_cannot_make_is_no_pass() -> None:
    cases = read_cases()
    why = {(client.name, case.name): client.why_not(case) for client in CLIENTS for case in cases}
    assert why["Go", "a_client_certificate_names_the_caller"] == ""
    assert why["Go, through Envoy", "a_client_certificate_names_the_caller"] == "no TLS to Envoy"
    assert why["Go, through Envoy", "a_key_lets_the_caller_in"] == ""
    assert why["TypeScript, Chromium, gRPC-Web through Envoy", "upload_20_mib_as_a_stream"] == "no client stream"
    (case,) = (case for case in cases if case.name == "a_client_certificate_names_the_caller")
    column = Column("Go, through Envoy", impossible={case.name: "no TLS to Envoy"})
    assert "| no TLS to Envoy |" in table([case], [column])
    assert "0 passed, 0 failed, 1 impossible" in column.line()


def test_placeholders_of_keys_and_certificates_are_filled(tmp_path: Path) -> None:
    (case,) = (case for case in read_cases() if case.name == "a_certificate_of_another_tenant_does_not_find_it")
    (made,) = make([case], {"mutual": "localhost:1"}, tmp_path, "Go", lambda kind, name: f"/{kind}/{name}")
    assert made.plan["tls"] == {
        "ca": "/ca/authority",
        "cert": "/cert/client_of_other_tenant",
        "key": "/private/client_of_other_tenant",
    }


def test_other_images_are_seen() -> None:
    first = {"messages": [{"result": {"images": [{"artifact": "a", "sha256": "1"}]}}]}
    stream = {"messages": [event(1, "id", started={}), event(2, completed=first["messages"][0])]}
    other = {"messages": [{"result": {"images": [{"artifact": "b", "sha256": "2"}]}}]}
    assert image_problems(first, stream) == []
    assert image_problems(first, other)
    assert image_problems(first, {"messages": [event(1, "id", started={})]})
    assert image_problems({}, {"messages": []}), "two outcomes without images are not the same image"


def test_an_id_with_a_name_is_one_id_for_all_cases_of_a_client(tmp_path: Path) -> None:
    cases = [case for case in read_cases() if case.group == "replays"]
    made = {each.case.name: each for each in make(cases, {"celeste": "localhost:1"}, tmp_path, "Go", lambda *_: "")}
    first, repeat = made["a_request_with_an_id_is_made"], made["a_repeat_gets_the_same_image"]
    assert len(first.plan["request"]["requestId"]) == 36
    assert first.plan["request"] == repeat.plan["request"]
    assert first.plan["request"]["requestId"] == repeat.expect["response"]["result"]["requestId"]
    together = made["two_calls_at_once_with_one_id_get_the_same_image"]
    assert together.plan["request"]["requestId"] != first.plan["request"]["requestId"]
