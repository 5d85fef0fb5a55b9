"""Which pages are generated, and from what."""

from pathlib import Path

from deploy.cli import cli
from deploy.reference import asyncapi
from deploy.reference.commands import commands_page
from deploy.reference.decisions import with_index
from deploy.reference.metrics import metrics_page
from deploy.reference.model_settings import model_settings_page
from schemas.reference import filled
from streams.api import openapi
from streams.settings import settings_table


def pages(root: Path) -> dict[str, str]:
    """The text of each generated page, by its path in the checkout at `root`.

    The contract and the index of decisions are written by hand around generated tables; the others are generated whole.
    """
    contract, index = "docs/reference/contract.md", "docs/adr/README.md"
    return {
        contract: filled((root / contract).read_text(encoding="utf-8")),
        "docs/reference/openapi.json": openapi.as_json().decode(),
        "docs/reference/asyncapi.json": asyncapi.as_json(),
        "docs/reference/settings.md": settings_table(),
        "docs/reference/model-settings.md": model_settings_page(),
        "docs/reference/metrics.md": metrics_page(root),
        "docs/reference/commands.md": commands_page(cli),
        index: with_index((root / index).read_text(encoding="utf-8"), root / "docs" / "adr"),
    }
