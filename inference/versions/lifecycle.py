"""The next step of the loop, decided from what is known. Pure.

    made -> gates -> placed -> loaded -> gates in Triton -> shadow -> canary -> champion -> retired
      \\________\\________\\_____________\\__________\\_________\\-> rejected or withdrawn, with its reason

`plan` looks at the known facts alone, not at what it did before: after a crash at any moment, the facts are read again
and the same rules go on. Each action is safe to repeat. These orders keep users safe:

- Workers name the champion's number before a second version is loaded, since the server answers requests that name none
  with the newest one.
- A version is loaded before a record gives it a role, and unloaded only after every live worker has followed the record
  that took the role away.
- A verdict is stored before the record that acts on it, so the reason is never lost.
- One challenger at a time.
"""

from collections.abc import Callable, Sequence

import msgspec

from inference.versions.actions import (
    Action,
    AddVerdict,
    Judge,
    Load,
    Measure,
    Place,
    Publish,
    Remove,
    Train,
    name_of,
)
from inference.versions.rules import Rules
from inference.versions.state import Given, Known, State
from inference.versions.store import FIRST, Verdict, Version
from schemas.models import ModelStatus, Role, role_of

ENDED = frozenset({"rejected", "withdrawn", "rolled_back", "retired"})
"""The events after which a version has no role."""

MODEL = "scorer"


Step = Callable[[State, Rules, int], Action | None]


def plan(state: State, rules: Rules, now: int, steps: Sequence[Step] = ()) -> Action | None:
    """The next action by `steps` (default: all); None: wait for an observation, or for time to pass."""
    if state.serving is None:
        return None
    for step in steps or STEPS:
        action = step(state, rules, now)
        if action is None:
            continue
        failure = state.failures.get(name_of(action))
        if failure is None or now >= failure.until:
            return action
        if step is _serve:
            return None  # a version with a role is not served: nothing else may change until it is
    return None


def stage(state: State, number: int) -> str:
    """Where a version stands, in a few words."""
    for status in (state.lineup.champion, state.lineup.challenger):
        if status is not None and status.number == number:
            return status.role
    known = state.versions.get(number, Known())
    if known.verdicts and known.verdicts[-1].event in ENDED:
        return known.verdicts[-1].event.replace("_", " ")
    if any(given.status.number == number and not _made(given) for given in state.roles.values()):
        return "retired"
    return "judged" if known.gates else "made"


def candidate(state: State) -> Version | None:
    """The version to try next: the newest in the store, unless it was tried or given up."""
    newest = state.newest()
    given = state.roles.get(newest.name) if newest is not None else None
    if newest is None or (given is not None and not _made(given)):
        return None
    known = state.versions[newest.number]
    return None if any(each.event in ENDED for each in known.verdicts) else newest


def with_role(status: ModelStatus, role: Role, now: int, reason: str) -> ModelStatus:
    """The record that gives a version another role."""
    return ModelStatus(
        model=status.model, version=status.version, role=role, ts=now, number=status.number, reason=reason[:400]
    )


def _first_champion(state: State, rules: Rules, now: int) -> Action | None:
    """Name the version that the server serves already, before it gets company."""
    if state.lineup.champion is not None:
        return None
    assert state.serving is not None
    if not state.serving.loaded:
        return None
    number, reason = min(state.serving.loaded), "the version that was served when learning began"
    return Publish(
        ModelStatus(model=MODEL, version=state.serving.name, role=Role.CHAMPION, ts=now, number=number, reason=reason)
    )


def _serve(state: State, rules: Rules, now: int) -> Action | None:
    """Have the server serve every version with a role."""
    assert state.serving is not None
    for number in sorted(_needed(state)):
        challenger = state.lineup.challenger
        if challenger is not None and challenger.number == number and _refused(state, number):
            continue  # it is withdrawn next
        if number not in state.serving.placed:
            return Place(number)
        if number not in state.serving.loaded:
            return Load(state.serving.loaded | {number}, number)
    return None


def _unload(state: State, rules: Rules, now: int) -> Action | None:
    """Unload versions without a role, once no worker asks for them."""
    assert state.serving is not None
    extra = state.serving.loaded - _kept(state)
    if not extra or not state.serving.loaded - extra or not state.followed(rules, now):
        return None
    used = {name for ack in state.live(rules, now) for name in (ack.champion, ack.challenger)}
    gone = {number for number in extra if not state.names_of(number) & used}
    return Load(state.serving.loaded - gone) if gone else None


def _retire(state: State, rules: Rules, now: int) -> Action | None:
    """Say that a version is retired, once it is replaced and unloaded."""
    assert state.serving is not None
    current = {each.version for each in (state.lineup.champion, state.lineup.challenger) if each is not None}
    for name, given in state.roles.items():
        status = given.status
        if name in current or role_of(status) is Role.RETIRED or status.number in state.serving.loaded:
            continue
        if _made(given):
            if (version := candidate(state)) is None or version.name != name:
                return Publish(with_role(status, Role.RETIRED, now, _why_not(state, status)))
            continue
        if not any(each.event in ENDED for each in state.since(status)):
            return AddVerdict(status.number, Verdict(ts=now, event="retired", reason="replaced"))
        return Publish(with_role(status, Role.RETIRED, now, "replaced"))
    return None


def _remove(state: State, rules: Rules, now: int) -> Action | None:
    """Delete what is unloaded from the repository, so that a server that starts again cannot serve it."""
    assert state.serving is not None
    extra = state.serving.placed - state.serving.loaded - _kept(state) - {FIRST}
    return Remove(min(extra)) if extra else None


def _try(state: State, rules: Rules, now: int) -> Action | None:  # noqa: PLR0911 - one step a line
    """Take the newest version through the gates, and make it the challenger."""
    version, champion = candidate(state), state.lineup.champion
    if version is None or champion is None or state.lineup.challenger is not None:
        return None
    assert state.serving is not None
    number, gates = version.number, state.versions[version.number].gates
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        why = f"gate {failed[0].name}: {failed[0].text}"
        return AddVerdict(number, Verdict(ts=now, event="rejected", reason=why, champion=champion.version))
    if refused := _refused(state, number):
        return AddVerdict(number, Verdict(ts=now, event="rejected", reason=refused, champion=champion.version))
    if not gates:
        return Judge(number, champion.number) if version.name in state.roles else Publish(_as_made(version, now))
    if not state.followed(rules, now):
        return None
    if number not in state.serving.placed:
        return Place(number)
    if number not in state.serving.loaded:
        return Load(state.serving.loaded | {number}, number)
    if number not in state.measured:
        return Measure(number, champion.number)
    return Publish(
        ModelStatus(
            model=MODEL,
            version=version.name,
            role=Role.SHADOW,
            ts=now,
            number=number,
            reason=f"passed its {len(gates)} gates",
        )
    )


def _made(given: Given) -> bool:
    """Whether a version is at its gates: it has had no role yet."""
    return role_of(given.status) is Role.MADE


def _as_made(version: Version, now: int) -> ModelStatus:
    """The record of a version whose gates are run next, for those who follow the topic alone."""
    reason = f"trained from version {version.parent} on {version.likes:,} likes"
    return ModelStatus(model=MODEL, version=version.name, role=Role.MADE, ts=now, number=version.number, reason=reason)


def _why_not(state: State, status: ModelStatus) -> str:
    """Why a version at its gates is not tried."""
    known = state.versions.get(status.number, Known())
    ended = [each for each in known.verdicts if each.event in ENDED]
    return _told(ended[-1]) if ended else "it is not the newest in the store"


def _decide(state: State, rules: Rules, now: int) -> Action | None:
    """Take the challenger to its next stage, or withdraw it."""
    if state.lineup.challenger is None or state.lineup.champion is None:
        return None
    return _act_on_verdict(state, rules, now) or _judge(state, rules, now)


def _act_on_verdict(state: State, rules: Rules, now: int) -> Action | None:
    """Publish the role that the newest verdict gives the challenger."""
    challenger = state.lineup.challenger
    assert challenger is not None
    events = state.since(challenger)
    last = events[-1] if events else None
    if last is not None and last.event in ENDED:
        return Publish(with_role(challenger, Role.RETIRED, now, _told(last)))
    canary = role_of(challenger) is Role.CANARY
    if state.serving is not None and challenger.number in state.serving.loaded and last is not None:
        if last.event == "promoted":
            return Publish(with_role(challenger, Role.CHAMPION, now, _told(last)))
        if last.event == "canary" and not canary:
            return Publish(_as_canary(challenger, rules, now, _told(last)))
    return None


def _told(verdict: Verdict) -> str:
    """The reason with its figures, for those who follow the topic alone."""
    if verdict.difference is None or verdict.low is None or verdict.high is None:
        return verdict.reason
    figures = f"{verdict.difference:+.3f} ({verdict.low:+.3f} to {verdict.high:+.3f})"
    return f"{verdict.reason}; hit ratio {figures}"


def _judge(state: State, rules: Rules, now: int) -> Action | None:
    """Begin the comparison once all workers are ready; give the verdict once the test has one."""
    challenger = state.lineup.challenger
    assert challenger is not None
    canary = role_of(challenger) is Role.CANARY
    end = "withdrawn" if canary else "rejected"
    if reason := _refused(state, challenger.number) or _overdue(state, rules, now):
        return _verdict(state, end, reason, rules, now)
    if state.stage_began() is None:
        live = state.live(rules, now)
        ready = live and state.followed(rules, now) and not any(ack.lacking for ack in live)
        return _verdict(state, "shadow", f"compared by {len(live)} workers", rules, now) if ready else None
    found = state.test.judge(rules) if state.test is not None else None
    if found is None or found.outcome == "undecided":
        return None
    if found.outcome != "passed":
        return _verdict(state, end, found.reason, rules, now)
    # The rows of single items change little; the test in shadow is enough for them.
    record = state.versions.get(challenger.number, Known()).record
    promoted = canary or (record is not None and record.kind == "items")
    return _verdict(state, "promoted" if promoted else "canary", found.reason, rules, now)


def _train(state: State, rules: Rules, now: int) -> Action | None:
    """Train when enough was learned about users, or the champion drifts, and no version is being tried."""
    champion, growth, serving = state.lineup.champion, state.growth, state.serving
    if champion is None or growth is None or serving is None or state.lineup.challenger is not None:
        return None
    if candidate(state) is not None or growth.likes < rules.least_likes:
        return None
    newest, full = state.newest(), state.newest("full")
    numbers = {*state.versions, *serving.placed, *(given.status.number for given in state.roles.values()), FIRST}
    since_full = now - full.made_ms if full is not None else now
    since = now - newest.made_ms if newest is not None else now
    if since < rules.items_minutes * 60_000:
        return None
    # Each training makes a version, or waits as any failed action: a drift that stays cannot start one after another.
    drifted = any(each.drifted for each in state.drift) and since >= rules.drift_minutes * 60_000
    late = since_full >= rules.full_minutes * 60_000 and full is not None
    if growth.full >= rules.full_likes or (growth.full >= rules.least_likes and (late or drifted)):
        return Train("full", champion.number, max(numbers) + 1)
    if growth.likes >= rules.items_likes:
        return Train("items", champion.number, max(numbers) + 1)
    return None


SETTLING: tuple[Step, ...] = (_first_champion, _serve, _unload, _retire, _remove)
"""The steps that make the server follow the roles, the learner's and an operator's."""

DECIDING: tuple[Step, ...] = (_first_champion, _serve, _decide, _unload, _retire, _remove, _try)
STEPS: tuple[Step, ...] = (*DECIDING, _train)


def _overdue(state: State, rules: Rules, now: int) -> str:
    """Why the challenger has to make room for a newer version; empty if it may go on."""
    challenger = state.lineup.challenger
    if challenger is not None and now - challenger.ts > rules.stage_hours * 3_600_000:
        return f"undecided after {rules.stage_hours:g} hours"
    if state.growth is not None and state.growth.likes > rules.stale_likes:
        return f"undecided while {state.growth.likes:,} newer likes came in"
    return ""


def _verdict(state: State, event: str, reason: str, rules: Rules, now: int) -> AddVerdict:
    """What happens to the challenger, with the figures of its test."""
    challenger, champion = state.lineup.challenger, state.lineup.champion
    assert challenger is not None
    assert champion is not None
    found = state.test.judge(rules) if state.test is not None else None
    ts = max(now, challenger.ts)  # a clock that steps back must not hide the verdict
    verdict = Verdict(ts=ts, event=event, reason=reason, champion=champion.version, lists=state.shown())
    if found is not None and found.pairs:
        verdict = msgspec.structs.replace(
            verdict, difference=found.difference, low=found.low, high=found.high, pairs=found.pairs
        )
    return AddVerdict(challenger.number, verdict)


def _as_canary(status: ModelStatus, rules: Rules, now: int, reason: str) -> ModelStatus:
    given = with_role(status, Role.CANARY, now, reason)
    return msgspec.structs.replace(given, share=rules.share, salt=status.version[:64])


def _needed(state: State) -> set[int]:
    return {each.number for each in (state.lineup.champion, state.lineup.challenger) if each is not None}


def _kept(state: State) -> set[int]:
    """The versions with a role, and the one that is on its way to one."""
    version = candidate(state) if state.lineup.challenger is None else None
    return _needed(state) | ({version.number} if version is not None else set())


def _refused(state: State, number: int) -> str:
    """Why this version cannot be judged or served at all; empty if nothing is known against it."""
    keys = [name_of(Judge(number, 0)), name_of(Place(number)), name_of(Load(frozenset(), number))]
    failures = [state.failures.get(key) for key in (*keys, name_of(Measure(number, 0)))]
    return next((each.reason for each in failures if each is not None and each.final), "")
