"""With a key, people are kept and feedback is published under pseudonyms; lists go to their ids, and orders reach
them."""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from deploy.local.brokers import Broker
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.feedback import Feedback
from schemas.recommendations import Recommendation
from schemas.topics import CONTEXTS, EVENTS, FEEDBACK, RECOMMENDATIONS
from streams.privacy.pseudonyms import alias_with
from streams.secret import Secret
from tests.integration.test_forget import ANN, BOB, SCRIPTED, forget, holds
from tests.support.patience import until
from tests.support.pipeline import Pipeline, click, films
from tests.support.plane import contexts_of

KEY = "a key of the test's own"
ALIAS = alias_with(KEY)


async def test_state_and_feedback_hold_no_id(broker: Broker, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path, pseudonym_key=Secret(KEY)) as pipeline:
        await pipeline.prepare(films())
        pipeline.start(SCRIPTED)
        for number in range(3):
            # Feedback names its event by the id that the producer gave it.
            clicks = {user: click(user, f"film-{number}", number) for user in (ANN, BOB)}
            sent = [
                (user, encode(replace(one, id=f"click-{number}-{place}")))
                for place, (user, one) in enumerate(clicks.items())
            ]
            await pipeline.send(EVENTS, sent)
        made = await pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda made: {ANN, BOB} <= {one.user for one in made}
        )
        shown = next(one for one in made if one.user == ANN)
        taken = Event(
            id="taken", user=ANN, kind=EventKind.LIKE, ts=shown.ts + 1, item=shown.entries[0].item, list=shown.id
        )
        await pipeline.send(EVENTS, [(ANN, encode(taken))])
        # A click of before may stand there as well: on something in the list that the click ahead of it brought.
        feedback = await pipeline.read(FEEDBACK, Feedback, lambda told: any(one.event == "taken" for one in told))
        (told,) = [one for one in feedback if one.event == "taken"]
        assert (told.user, told.item) == (ALIAS(ANN), taken.item)
        assert {one.user for one in feedback} <= {ALIAS(ANN), ALIAS(BOB)}
        on_disk = "x-" + ALIAS(ANN)[2:]
        await asyncio.to_thread(until, lambda: bool(holds(tmp_path / "state", on_disk)), "the pseudonym on disk")
        for user in (ANN, BOB):
            assert not holds(tmp_path / "state", user)
            for topic in (CONTEXTS.name, FEEDBACK.name):
                for each in await pipeline.records(topic):
                    assert user.encode() not in (each.key or b"") + (each.value or b"")

        receipt = await asyncio.to_thread(forget, pipeline, ANN)
        assert (receipt.user, receipt.person) == (ANN, ALIAS(ANN))
        assert any("context@" in part for part in receipt.cleared)
        held = contexts_of(await pipeline.records(CONTEXTS.name))
        assert set(held) == {ALIAS(BOB)}
        assert not holds(tmp_path / "state", on_disk)

        # Another key would match no user: it is refused.
        pipeline.stop()
        pipeline.change(pseudonym_key=Secret("another key of the test"))
        log = pipeline.begin(SCRIPTED).log
        await asyncio.to_thread(until, lambda: "OUZEL_PSEUDONYM_KEY" in log.read_text(), "a message that says why")
        assert KEY not in log.read_text()
