"""Open a mapping file for a command."""

from importlib.util import find_spec
from pathlib import Path

from deploy.errors import DeployError, MissingPart
from streams.agents.mapping_metrics import MappingMetrics
from streams.clock import SYSTEM
from streams.errors import BadMapping
from streams.mapping.formats import AVRO
from streams.mapping.mapping import MAX_BYTES, Mapping, read_mapping
from streams.registry.client import Schemas
from streams.settings import Settings, variable


def open_mapping(file: str, settings: Settings, metrics: MappingMetrics | None = None) -> tuple[Mapping, Schemas]:
    """The compiled mapping of `file`, and the schemas that its topics need.

    Raises `DeployError` if the file cannot be used, or needs a registry or a package that is missing, and `OSError`.
    """
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(4 * MAX_BYTES + 1).decode()
    except (UnicodeDecodeError, ValueError):
        raise DeployError(
            f"{file}: the file is not UTF-8 text. A mapping file is TOML (docs/guide/mapping.md)."
        ) from None

    def answered(answer: str) -> None:
        if metrics is not None:
            metrics.schemas.labels(answer).inc()

    schemas = Schemas(settings.mapping, SYSTEM, answered)
    try:
        mapping = read_mapping(text, schemas.decoders, accepted_from_ms=settings.folding.oldest_event_ms)
    except BadMapping as error:
        raise DeployError(f"{file}: {error}") from None
    if mapping.formats and not settings.mapping.registry:
        raise DeployError(
            f'{file}: format = "{min(mapping.formats)}" needs a schema registry: set {variable("mapping_registry")}.'
        )
    if AVRO in mapping.formats and find_spec("fastavro") is None:
        raise MissingPart("fastavro, which reads Avro,", "Run: pip install 'ouzel[registry]'.")
    return mapping, schemas
