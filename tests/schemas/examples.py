"""Two messages of every type of the contract: one with every field, one with only the required ones."""

import msgspec

from schemas.blends import BlendPart, LearnedSignal
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.items import Item
from schemas.models import Comparison, ModelAck, ModelStatus, Role
from schemas.neighbours import Covisit, Covisits, Earlier, Neighbours
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.recommendations import Degraded, Entry, Reason, Recommendation, Source, Unasked

NOW = 1_790_000_000_000

EXAMPLES: dict[str, msgspec.Struct] = {
    "event.full": Event(
        id="e-1",
        user="ann",
        kind=EventKind.RATE,
        ts=NOW,
        item="alien",
        scene="home",
        value=4.5,
        text="less horror this week",
        target="e-0",
        list="l-1",
    ),
    "event.minimal": Event(id="e-2", user="ann", kind=EventKind.LIKE, ts=NOW, item="alien"),
    "item.full": Item(
        id="alien",
        title="Alien",
        text="A crew meets something in the dark.",
        attributes=("horror", "science fiction"),
        published=NOW,
        image=(0.5, -1.0),
        audio=(0.25,),
    ),
    "item.minimal": Item(id="alien", title="Alien"),
    "recommendation.full": Recommendation(
        id="l-1",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=3,
        offset=41,
        entries=(
            Entry(
                item="brazil",
                score=0.75,
                behavioural=0.5,
                propensity=0.9,
                sources=(Source.COVISITED, Source.TRENDING),
                reason=Reason(code=Source.COVISITED, text="because you liked Alien", because=("alien",)),
                model=1.25,
            ),
        ),
        model_version="7",
        degraded=Degraded.DEADLINE,
        freshness_ms=12.5,
        took_ms=4.25,
    ),
    "recommendation.nearest": Recommendation(
        id="l-3",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=0,
        offset=1,
        entries=(
            Entry(
                item="brazil",
                score=0.75,
                behavioural=0.5,
                propensity=1.0,
                sources=(Source.NEAREST,),
                reason=Reason(code=Source.NEAREST, text="close to Alien, which you liked", because=("alien",)),
                model=1.25,
            ),
        ),
        freshness_ms=1.0,
        took_ms=1.0,
    ),
    "recommendation.contributions": Recommendation(
        id="l-4",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=0,
        offset=2,
        entries=(
            Entry(
                item="brazil",
                score=0.75,
                behavioural=0.75,
                propensity=1.0,
                sources=(Source.TRENDING, "same_author"),
                contributions={"trending": 0.25, "same_author": 0.5},
                reason=Reason(code="same_author", text="by an author that you liked", because=("alien",)),
            ),
        ),
        freshness_ms=1.0,
        took_ms=1.0,
    ),
    "recommendation.context": Recommendation(
        id="l-5",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=0,
        offset=3,
        entries=(),
        freshness_ms=1.0,
        took_ms=1.0,
        context="0123456789abcdef",
    ),
    "recommendation.unasked": Recommendation(
        id="l-6",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=0,
        offset=4,
        entries=(),
        unasked=Unasked.ADDS_NOTHING,
        freshness_ms=1.0,
        took_ms=1.0,
    ),
    "recommendation.minimal": Recommendation(
        id="l-2",
        user="ann",
        scene="home",
        ts=NOW,
        trigger="e-1",
        partition=0,
        offset=0,
        entries=(),
        freshness_ms=1.0,
        took_ms=1.0,
    ),
    "feedback.full": Feedback(
        id="f-1",
        list="l-1",
        user="ann",
        scene="home",
        ts=NOW,
        outcome=Outcome.TAKEN,
        reward=1.0,
        item="brazil",
        position=0,
        propensity=0.9,
        event="e-3",
        kind=EventKind.LIKE,
        delay_ms=1500.0,
        model_version="7",
        closed=Closed.WINDOW,
        shown=(Shown(item="brazil", propensity=0.9),),
    ),
    "feedback.context": Feedback(
        id="f-3",
        list="l-5",
        user="ann",
        scene="home",
        ts=NOW,
        outcome=Outcome.NOT_TAKEN,
        reward=0.0,
        context="0123456789abcdef",
    ),
    "feedback.chance": Feedback(
        id="f-4",
        list="l-6",
        user="ann",
        scene="home",
        ts=NOW,
        outcome=Outcome.NOT_TAKEN,
        reward=0.0,
        shown=(Shown(item="brazil", propensity=0.9),),
        chance=0.25,
        history=12,
    ),
    "feedback.minimal": Feedback(
        id="f-2", list="l-1", user="ann", scene="home", ts=NOW, outcome=Outcome.NOT_TAKEN, reward=0.0
    ),
    "dead_letter.full": DeadLetter(
        code=Refusal.MALFORMED,
        detail="nested too deeply",
        topic="ouzel.events",
        partition=2,
        offset=9,
        ts=NOW,
        key=b"ann",
        value=b"\xff\x00{",
    ),
    "dead_letter.minimal": DeadLetter(
        code=Refusal.EMPTY, detail="", topic="ouzel.events", partition=0, offset=0, ts=NOW
    ),
    "covisits.full": Covisits(
        item="alien",
        partition=1,
        updates=(
            Covisit(
                offset=5, ts=NOW, scene="home", liked=True, earlier=(Earlier(item="brazil", apart=2, likes_apart=1),)
            ),
        ),
    ),
    "covisits.minimal": Covisits(item="alien", partition=1, updates=(Covisit(offset=5, ts=NOW, scene="home"),)),
    "neighbours.full": Neighbours(
        item="alien",
        ts=NOW,
        likes=12.0,
        seen=30.0,
        trend={"home": 0.5},
        others=("brazil",),
        kernels="a",
        weights=b"\x00\x00\x80\x3f",
        counted={0: 17},
    ),
    "neighbours.minimal": Neighbours(item="alien", ts=NOW, likes=0.0),
    "blend_part.full": BlendPart(
        id="3:home",
        partition=3,
        scene="home",
        lists=7,
        heard=40,
        advantage=1.5,
        model=LearnedSignal(0.5, 4.0),
        modifiers=("user_events", "item_likes"),
        signals={
            "trend": LearnedSignal(-0.25, 3.0, (0.5, 0.0), (2.0, 1.0)),
            "picks": LearnedSignal(0.0, 1.0, (0.0, 0.25), (0.0, 1.0)),
        },
    ),
    "blend_part.minimal": BlendPart(id="0:default", partition=0, scene="default"),
    "model_status.full": ModelStatus(model="scorer", version="7", role=Role.SHADOW, ts=NOW),
    "model_status.canary": ModelStatus(
        model="scorer", version="7", role=Role.CANARY, ts=NOW, number=7, share=0.1, salt="s", reason="passed in shadow"
    ),
    "model_ack.minimal": ModelAck(worker="w-1", behind=0, ts=NOW),
    "model_ack.full": ModelAck(worker="w-1", behind=9, ts=NOW, champion="v-6", challenger="v-7", lacking=3, shown=12),
    "comparison.full": Comparison(
        id="c-1",
        list="l-1",
        scene="default",
        ts=NOW,
        champion="v-6",
        challenger="v-7",
        champion_hit=True,
        challenger_hit=False,
        canary=True,
    ),
    "erasure_order.full": ErasureOrder(id="o-1", user="ann", ts=NOW),
    "erasure_receipt.full": ErasureReceipt(
        order="o-1", user="ann", ts=NOW, cleared=("contexts",), model_versions=("7",)
    ),
    "erasure_receipt.minimal": ErasureReceipt(order="o-1", user="ann", ts=NOW, cleared=()),
}
