"""Where `ouzel log` writes the training log, and how long rows stay there."""

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from streams.errors import BadSetting
from streams.settings.group import Group, variable


class TrainingLog(Group, frozen=True, kw_only=True, rename=lambda name: f"training_log_{name}".removesuffix("_root")):
    """What `ouzel log` writes, and where. Workers ignore these settings."""

    root: Annotated[
        str,
        Meta(
            description="Folder of the training log, or s3://BUCKET/PREFIX with ?region= and ?endpoint_override= where "
            "needed. Keys of the store come from its own variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), never "
            "from here. Empty: no training log."
        ),
    ] = ""
    days: Annotated[
        int,
        Meta(
            ge=1,
            le=3_650,
            description="Days that rows stay in the training log; then the files of the day are deleted.",
        ),
    ] = 30
    flush_s: Annotated[
        float,
        Meta(ge=0.1, le=3_600, description="Maximum seconds that a row waits in memory before it goes to a file."),
    ] = 60.0
    rows: Annotated[int, Meta(ge=100, le=1_000_000, description="Maximum rows of a file.")] = 50_000
    buffer_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=4_096,
            description="Maximum megabytes of records in memory before rows go to files early, for all partitions. "
            "Prefetched records (OUZEL_FETCH_MAX_MB) come on top.",
        ),
    ] = 64
    group: Annotated[
        str, Meta(description="Consumer group of `ouzel log`. Empty: OUZEL_APP_ID followed by -training-log.")
    ] = ""
    port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="Port of its /metrics and /healthz on 127.0.0.1. 0: no pages."),
    ] = 6067

    def check(self) -> None:
        if "://" not in self.root:
            return
        if urlsplit(self.root).scheme != "s3":
            raise BadSetting(f"{variable('training_log')} takes a folder or s3://BUCKET/PREFIX, no other scheme.")
        if "@" in self.root:
            raise BadSetting(
                f"{variable('training_log')} has a key in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
            )
