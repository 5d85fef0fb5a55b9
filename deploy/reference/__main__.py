"""Write every generated page of docs/, from the root of a checkout: `python -m deploy.reference`."""

import sys
from pathlib import Path

from deploy.reference.pages import pages


def main() -> None:
    root = Path(__file__).parents[2]
    for path, text in pages(root).items():
        page = root / path
        changed = not page.exists() or page.read_text(encoding="utf-8") != text
        if changed:
            page.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'wrote' if changed else 'unchanged'}  {path}\n")


if __name__ == "__main__":
    main()
