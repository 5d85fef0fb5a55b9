"""Write every generated page of docs/, from the root of a checkout: `python -m deploy.reference`."""

from pathlib import Path

from deploy.local.terminal import say
from deploy.reference.pages import pages


def main() -> None:
    root = Path(__file__).parents[2]
    for path, text in pages(root).items():
        page = root / path
        changed = not page.exists() or page.read_text(encoding="utf-8") != text
        if changed:
            page.write_text(text, encoding="utf-8")
        say(f"{'wrote' if changed else 'unchanged'}  {path}")


if __name__ == "__main__":
    main()
