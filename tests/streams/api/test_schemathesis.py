"""schemathesis reads the description of the API and sends each operation what it allows, and what it does not."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from inference.scorers.scripted import ScriptedScorer
from tests.support.api import ApiWorld, api_world

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests"
PATIENCE = 240.0
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"
)
"""Not `positive_data_acceptance`: a user may have no list yet, and an item may not be there."""


@pytest.mark.parametrize("token", [TOKEN, ""])
async def test_answers_are_what_the_description_says(token: str, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=Path(sys.executable).parent)
    if program is None:
        if os.environ.get("OUZEL_REQUIRE_ALL"):
            pytest.fail("schemathesis is missing")
        pytest.skip("schemathesis is missing: make dev")
    often = {"web_api_per_second": 10_000.0, "web_max_per_second": 10_000.0}
    async with api_world(ScriptedScorer(), token=TOKEN, **often) as world:
        world.bench.did("ann", "film-1")
        ticking = asyncio.create_task(_tick(world))
        try:
            description = tmp_path / "openapi.json"
            answer = await world.ask("GET", "/v1/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})
            description.write_bytes(await answer.read())
            given = ["--header", f"Authorization: Bearer {token}"] if token else []
            running = await asyncio.create_subprocess_exec(
                *(program, "run", str(description), "--url", str(world.client.make_url("/")), *given),
                *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "8"),
                *("--exclude-path-regex", "/stream$", "--generation-deterministic", "--no-color", "--warnings", "off"),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(PATIENCE):
                said, _ = await running.communicate()
        finally:
            ticking.cancel()
    assert running.returncode == 0, said.decode()[-4_000:]
    assert "cases" in said.decode()


async def _tick(world: ApiWorld) -> None:
    """The clock of the world goes on, so that rates are those of seconds."""
    loop = asyncio.get_running_loop()
    while True:
        world.seconds = loop.time()
        await asyncio.sleep(0.01)
