"""Look for secrets in what git tracks: `python .ci/find_secrets.py`. Ends with 1 where one is not accepted below.

detect-secrets' detectors for keys, tokens and passwords by their form and their names; not those for any random-looking
text, which find every digest. It asks nobody whether a secret works.
"""

import subprocess
import sys

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

DETECTORS = (
    "AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector", "JwtTokenDetector",
    "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
    "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)  # fmt: skip
BINARY = (".safetensors", ".msgpack", ".svg", ".webp")
ACCEPTED = {
    ("streams/settings/group.py", "Secret Keyword"),
    ("tests/streams/items/test_catalogue.py", "GitHub Token"),
    ("tests/schemas/test_no_bytes_crash.py", "Secret Keyword"),
}
"""Where what looks like a secret is none: the file, and what the detector takes it for."""


def found() -> list[tuple[str, int, str]]:
    """File, line and kind of everything that looks like a secret."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout  # noqa: S607
    seen = []
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        for name in filter(None, listed.decode().split("\0")):
            if name.endswith(BINARY):
                continue
            with open(name, encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    seen += [(name, number, each.type) for each in scan_line(line)]
    return seen


def main() -> None:
    left = [(name, number, kind) for name, number, kind in found() if (name, kind) not in ACCEPTED]
    for name, number, kind in left:
        print(f"{name}:{number}: {kind}")  # noqa: T201 - never the secret itself
    print(f"{len(left)} secrets in what is tracked")  # noqa: T201
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
