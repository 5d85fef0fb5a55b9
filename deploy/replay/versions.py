"""What the view says of the versions: which one serves, which one is tried, and how the two compare. Pure."""

from schemas.models import Role
from streams.serving.trials import Trials


def live(versions: Trials) -> str:
    """The version that serves, and what became of those made so far."""
    champion = versions.lineup.champion
    serves = "the first version" if champion is None else f"version {champion.number}"  # no record has named it
    counts = {"promoted": versions.promoted, "withdrawn": versions.withdrawn, "rolled back": versions.rolled_back}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return serves + (f" ({told})" if told else "")


def tried(versions: Trials) -> str:
    """The challenger with its step."""
    challenger = versions.lineup.challenger
    if challenger is None:
        return "no version is tried" if versions.trained is None else f"version {versions.trained.number}, at its gates"
    if challenger.role == Role.CANARY:
        return f"version {challenger.number}, canary for {challenger.share:.0%}"
    return f"version {challenger.number}, shadow"


def compared(versions: Trials) -> str:
    """How the challenger compares so far; empty without one."""
    if versions.lineup.challenger is None:
        return ""
    if not versions.pairs:
        return "no like compared yet"
    low, high = versions.bounds
    return f"{versions.difference:+.3f} ({low:+.3f} to {high:+.3f}) in {versions.pairs:,} likes"


def last_verdict(versions: Trials) -> str:
    return versions.verdict or "no verdict yet"
