"""Compare what is installed with deploy/carried.toml, and print what is known against it: `python .ci/find_bundled.py`.

Ends with 1 where a version or a file is another. That something is known against a component is no failure: it says
what stands against that here.
"""

import hashlib
import platform
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

CARRIED = Path(__file__).parent.parent / "deploy" / "carried.toml"
HERE = f"{platform.system()}-{platform.machine()}".lower()


def components(file: Path = CARRIED) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(file.read_text())["component"]
    return found


def differences(component: Mapping[str, Any], here: str = HERE) -> Iterator[str]:
    """What is installed otherwise; nothing for a component that this machine's platform has no bytes of."""
    wanted = component.get("platform", here)
    if wanted != here:
        return
    try:
        package = distribution(component["package"])
    except PackageNotFoundError:
        yield f"{component['package']} is not installed"
        return
    if package.version != component["installed"]:
        yield f"{component['package']} is {package.version}, not {component['installed']}"
    for name, digest in component["files"].items():
        path = Path(str(package.locate_file(name)))
        if not path.is_file():
            yield f"{name} is missing"
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                yield f"{name} has other bytes than carried.toml says"


def told(component: Mapping[str, Any], here: str = HERE) -> Iterator[str]:
    compared = f"{len(component['files'])} files compared" if component.get("platform", here) == here else (
        f"NOT compared: the bytes are those for {component['platform']}"
    )  # fmt: skip
    yield f"{component['name']} {component['version']}: {component['licence']}; {compared}"
    if "note" in component:
        yield f"  {component['note']}"
    for known in component.get("known", ()):
        yield f"  {', '.join(known['ids'])}: {known['what']} ({known['told']})"
        yield f"    here: {known['here']}; what remains: {known['remains']}"


def main() -> int:
    wrong = 0
    for component in components():
        for line in told(component):
            print(line)  # noqa: T201
        for difference in differences(component):
            wrong += 1
            print(f"  DIFFERS: {difference}. Install again with make, or change carried.toml if you mean it.")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
