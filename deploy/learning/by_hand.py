"""The steps that an operator takes: `ouzel models shadow | canary | promote | rollback`.

They publish the records that `ouzel learn` would publish, after the same preparations. A learner that runs goes on from
there; without one, this process unloads what lost its role.
"""

from collections.abc import Sequence

import msgspec

from deploy.errors import DeployError, TooSlow
from deploy.learning.executor import POLL_SECONDS, Executor
from deploy.learning.ports import Channel
from inference.versions.actions import Action, AddVerdict, Load, Place, Publish, name_of
from inference.versions.lifecycle import MODEL, SETTLING, plan, with_role
from inference.versions.rules import Rules
from inference.versions.state import Known, State
from inference.versions.store import Verdict
from schemas.models import ModelStatus, Role, role_of
from streams.clock import Clock


class Desk:
    """One operator's command. Each method leaves the roles as asked, or raises `DeployError`."""

    def __init__(self, executor: Executor, channel: Channel, state: State, rules: Rules, clock: Clock) -> None:
        self._executor = executor
        self._channel = channel
        self._state = state
        self._rules = rules
        self._clock = clock

    async def shadow(self, number: int, *, force: bool = False) -> None:
        """Make a version the challenger, in shadow."""
        self._check_free(number)
        await self._give(self._status(number, Role.SHADOW, force=force))

    async def canary(self, number: int, share: float, *, force: bool = False) -> None:
        """Have a version make the lists of a share of the users."""
        self._check_free(number)
        status = self._status(number, Role.CANARY, force=force)
        await self._give(msgspec.structs.replace(status, share=share, salt=status.version[:64]))

    async def promote(self, number: int, *, force: bool = False) -> None:
        """Have a version make all lists."""
        champion = self._state.lineup.champion
        if champion is not None and champion.number == number:
            raise DeployError(f"version {number} is the champion already.")
        status = self._status(number, Role.CHAMPION, force=force)
        await self._serve(number)
        await self._add(number, "promoted", champion)
        await self._give(status)

    async def rollback(self) -> int:
        """Withdraw the challenger; without one, return to the champion before. The number of the champion then."""
        champion, challenger = self._state.lineup.champion, self._state.lineup.challenger
        if champion is None:
            raise DeployError("no version has a role yet: start `ouzel learn`, or give a role by hand.")
        if challenger is not None:
            event = "withdrawn" if role_of(challenger) is Role.CANARY else "rejected"
            await self._add(challenger.number, event, champion)
            await self._do(Publish(with_role(challenger, Role.RETIRED, self._now(), "by hand")))
            return champion.number
        before = self._before(champion)
        await self._serve(before.number)
        await self._add(champion.number, "rolled_back", before)
        await self._do(Publish(with_role(before, Role.CHAMPION, self._now(), f"rollback of version {champion.number}")))
        return before.number

    async def settle(self, seconds: float) -> None:
        """Unload and retire what lost its role, once all live workers have followed. Raises `TooSlow`."""
        deadline = self._clock.monotonic() + seconds
        while True:
            await self._channel.catch_up(self._state, self._rules)
            await self._executor.refresh(self._state)
            action = plan(self._state, self._rules, self._now(), SETTLING)
            if action is not None:
                await self._do(action)
                continue
            if self._state.followed(self._rules, self._now()):
                return
            if self._clock.monotonic() > deadline:
                live = self._state.live(self._rules, self._now())
                slow = sum(ack.behind < self._state.end for ack in live)
                raise TooSlow(
                    f"the roles are changed, but {slow} of {len(live)} live workers have not followed after "
                    f"{seconds:g} s: check their logs. Versions stay loaded until they do."
                )
            await self._clock.sleep(POLL_SECONDS * 10)

    def _check_free(self, number: int) -> None:
        champion, challenger = self._state.lineup.champion, self._state.lineup.challenger
        if champion is not None and champion.number == number:
            raise DeployError(f"version {number} is the champion; a challenger is another version.")
        if challenger is not None and challenger.number != number:
            raise DeployError(
                f"version {challenger.number} is in {challenger.role}; take it back first with `ouzel models rollback`."
            )

    def _status(self, number: int, role: Role, *, force: bool) -> ModelStatus:
        names = self._state.names_of(number)
        if not names:
            raise DeployError(f"there is no version {number}. `ouzel models list` shows which there are.")
        known = self._state.versions.get(number, Known())
        failed = [gate for gate in known.gates if not gate.passed]
        if not force and failed:
            raise DeployError(f"version {number} failed gate {failed[0].name}: {failed[0].text} Use --force to go on.")
        if not force and known.record is not None and not known.gates:
            raise DeployError(f"version {number} was not judged by its gates. Use --force to go on.")
        name = known.record.name if known.record is not None else sorted(names)[0]
        return ModelStatus(model=MODEL, version=name, role=role, ts=self._now(), number=number, reason="by hand")

    def _before(self, champion: ModelStatus) -> ModelStatus:
        """The record of the champion before this one."""
        verdicts: Sequence[Verdict] = self._state.versions.get(champion.number, Known()).verdicts
        named = next((each.champion for each in reversed(verdicts) if each.event == "promoted" and each.champion), "")
        given = self._state.roles.get(named)
        if given is None:
            raise DeployError(
                f"no version made lists before version {champion.number}. To use another: `ouzel models promote N`."
            )
        return given.status

    async def _give(self, status: ModelStatus) -> None:
        await self._serve(status.number)
        await self._do(Publish(msgspec.structs.replace(status, ts=self._now())))

    async def _serve(self, number: int) -> None:
        """Have the server serve a version, beside those with a role."""
        await self._executor.refresh(self._state)
        serving = self._state.serving
        assert serving is not None
        if self._state.lineup.champion is None:
            action = plan(self._state, self._rules, self._now(), SETTLING)
            assert action is not None
            await self._do(action)
            await self._follow()
        if number not in serving.placed:
            await self._do(Place(number))
        if number not in serving.loaded:
            await self._do(Load(serving.loaded | {number}, number))

    async def _follow(self) -> None:
        """Wait until all live workers know the champion, before the server serves a second version."""
        deadline = self._clock.monotonic() + self._rules.live_seconds * 2
        while not self._state.followed(self._rules, self._now()):
            if self._clock.monotonic() > deadline:
                raise TooSlow("live workers do not follow ouzel.models: check that they run this version of Ouzel.")
            await self._clock.sleep(POLL_SECONDS)
            await self._channel.catch_up(self._state, self._rules)

    async def _add(self, number: int, event: str, champion: ModelStatus | None) -> None:
        name = champion.version if champion is not None else ""
        await self._do(AddVerdict(number, Verdict(ts=self._now(), event=event, reason="by hand", champion=name)))

    async def _do(self, action: Action) -> None:
        await self._executor.carry_out(action, self._state)
        failure = self._state.failures.get(name_of(action))
        if failure is not None:
            raise DeployError(failure.reason)

    def _now(self) -> int:
        return self._clock.now_ms()
