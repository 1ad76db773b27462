"""Requests made from the published description of the API: as it says, and not as it says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import hypothesis
import requests
import schemathesis
from schemathesis import GenerationMode

TIMEOUT_SECONDS = 30.0
Call = Callable[[str], tuple[int, str, bytes]]


def described_cases(port: int, seed: int, count: int) -> Iterator[tuple[str, str, Call]]:
    """Yield name, method and call of so many requests, a share for each operation in both modes."""
    base = f"http://127.0.0.1:{port}"
    schema = schemathesis.openapi.from_url(f"{base}/api/v1/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    share = -(-count // (len(operations) * len(modes)))
    made = (
        (f"{operation.method.upper()} {operation.path}", operation.method.upper(), _calling(case, base))
        for operation in operations
        for mode in modes
        for case in _examples(operation.as_strategy(generation_mode=mode), seed, share)
    )
    return itertools.islice(made, count)


def _examples(
    strategy: hypothesis.strategies.SearchStrategy, seed: int, count: int
) -> list[schemathesis.Case]:
    found: list[schemathesis.Case] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(case: schemathesis.Case) -> None:
        found.append(case)

    try:
        collect()
    except hypothesis.errors.Unsatisfiable:
        # An operation without anything to break has no negative cases.
        return []
    return found[:count]


def _calling(case: schemathesis.Case, base: str) -> Call:
    def call(key: str) -> tuple[int, str, bytes]:
        try:
            answer = case.call(
                base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_SECONDS
            )
        except requests.RequestException as error:
            return 0, type(error).__name__, b""
        return answer.status_code, (answer.headers.get("content-type") or [""])[0], answer.content

    return call
