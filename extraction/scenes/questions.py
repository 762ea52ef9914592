"""Questions of the six tasks about a scene, with wrong alternatives that a guess falls for.

No wording tells its answer: alternatives stand in random order, both answers of a question with
two are equally likely, and wrong alternatives come from the other thing in the image more often
than not.
"""

from collections.abc import Callable, Sequence
from random import Random

from extraction.scenes.question import NO_OBJECT, Question, Step
from extraction.scenes.scene import COLORS, SHAPES, Scene, Thing

FROM_OTHER = 0.6
"""Share of wrong alternatives that are true of the other thing, where the two differ."""
NAMES_ABSENT = 0.8
"""Share of the two shapes named by a logical question of which one is not in the image, if colors differ."""
HARD_NEGATIVE = 0.75
"""Share of the negative ones among these that ask for the color of the thing that is not named."""


def ask_questions(scene: Scene) -> list[Question]:
    """Ask one question of each task about a scene, and about every second scene also for a color."""
    draw = Random(f"questions/{scene.seed}/{scene.image_id}")
    asked = [ask(scene, draw) for ask in ASK.values()]
    return [*asked, query_color(scene, draw)] if scene.image_id % 2 else asked


def choose_attribute(scene: Scene, draw: Random) -> Question:
    """Ask "Is the square black or yellow?"."""
    thing, other = draw.sample(scene.things, 2)
    first, second = _alternatives(draw, thing.color, other.color, COLORS)
    return Question(
        task="ChooseAttr",
        detailed="chooseAttr",
        text=f"Is the {thing.shape} {first} or {second}?",
        answer=thing.color,
        full_answer=f"The {thing.shape} is {thing.color}.",
        program=(_select(thing), Step(operation="choose color", argument=f"{first}|{second}", dependencies=(0,))),
        objects={thing.shape: thing.id},
        topic=f"{thing.shape}_color",
        family="color",
    )


def choose_category(scene: Scene, draw: Random) -> Question:
    """Ask "What kind of shape is the red thing on the left, a square or a circle?"."""
    thing, other = draw.sample(scene.things, 2)
    first, second = _alternatives(draw, thing.shape, other.shape, SHAPES)
    return Question(
        task="ChooseCat",
        detailed="categoryThisChoose",
        text=f"What kind of shape is the {thing.color} thing on the {thing.side}, a {first} or a {second}?",
        answer=thing.shape,
        full_answer=f"The thing is a {thing.shape}.",
        program=(
            Step(operation="select", argument=f"thing ({thing.id})"),
            Step(operation="filter color", argument=thing.color, dependencies=(0,)),
            Step(operation="filter hposition", argument=thing.side, dependencies=(1,)),
            Step(operation="choose name", argument=f"{first}|{second}", dependencies=(2,)),
        ),
        objects={"thing": thing.id, thing.shape: thing.id},
        topic="thing_shape",
        family="shape",
    )


def choose_relation(scene: Scene, draw: Random) -> Question:
    """Ask "Is the circle to the left or to the right of the square?"."""
    thing, other = draw.sample(scene.things, 2)
    sides = "to the left of|to the right of"
    return Question(
        task="ChooseRel",
        detailed="relChooser",
        text=f"Is the {thing.shape} to the left or to the right of the {other.shape}?",
        answer=thing.side,
        full_answer=f"The {thing.shape} is to the {thing.side} of the {other.shape}.",
        program=(
            _select(other),
            Step(operation="choose rel", argument=f"{thing.shape},{sides},s ({thing.id})", dependencies=(0,)),
        ),
        objects={thing.shape: thing.id, other.shape: other.id},
        topic=f"{thing.shape}_{other.shape}",
    )


def compare_attribute(scene: Scene, draw: Random) -> Question:
    """Ask "What do the circle and the square have in common?"; the answer is "color" or "material"."""
    thing, other = draw.sample(scene.things, 2)
    answer = "color" if thing.color == other.color else "material"
    return Question(
        task="CompareAttr",
        detailed="twoCommon",
        text=f"What do the {thing.shape} and the {other.shape} have in common?",
        answer=answer,
        full_answer=f"The {answer}.",
        program=(_select(thing), _select(other), Step(operation="common", argument="", dependencies=(0, 1))),
        objects={thing.shape: thing.id, other.shape: other.id},
        topic=f"{thing.shape}_{other.shape}",
    )


def logical_object(scene: Scene, draw: Random) -> Question:
    """Ask "Is there either a circle or a square that is red?"; the detailed type tells the answer, as in GQA."""
    holds = draw.random() < 0.5
    named = _named_shapes(scene, draw)
    color = _color_for(scene, named, holds, draw)
    objects = {thing.shape: thing.id for thing in scene.things if thing.shape in named}
    witness = next((thing.shape for thing in scene.things if thing.shape in named and thing.color == color), None)
    yes, no = (
        f"Yes, there is a {witness} that is {color}.",
        f"No, there is no {named[0]} or {named[1]} that is {color}.",
    )
    return Question(
        task="LogicalObj",
        detailed="existThatOr" if holds else "existThatOrC",
        text=f"Is there either a {named[0]} or a {named[1]} that is {color}?",
        answer="yes" if holds else "no",
        full_answer=yes if holds else no,
        program=(
            *_exists(named[0], color, objects, 0),
            *_exists(named[1], color, objects, 3),
            Step(operation="or", argument="", dependencies=(2, 5)),
        ),
        objects=objects,
        topic="_".join(sorted(named)),
    )


def query_side(scene: Scene, draw: Random) -> Question:
    """Ask "On which side of the photo is the circle?"."""
    thing = draw.choice(scene.things)
    return Question(
        task="QueryAttr",
        detailed="positionQuery",
        text=f"On which side of the photo is the {thing.shape}?",
        answer=thing.side,
        full_answer=f"The {thing.shape} is on the {thing.side} of the photo.",
        program=(_select(thing), Step(operation="query", argument="hposition", dependencies=(0,))),
        objects={thing.shape: thing.id},
        topic=f"{thing.shape}_hposition",
    )


def query_color(scene: Scene, draw: Random) -> Question:
    """Ask "What color is the circle?"."""
    thing = draw.choice(scene.things)
    return Question(
        task="QueryAttr",
        detailed="directOf",
        text=f"What color is the {thing.shape}?",
        answer=thing.color,
        full_answer=f"The {thing.shape} is {thing.color}.",
        program=(_select(thing), Step(operation="query", argument="color", dependencies=(0,))),
        objects={thing.shape: thing.id},
        topic=f"{thing.shape}_color",
        family="color",
    )


ASK: dict[str, Callable[[Scene, Random], Question]] = {
    "ChooseAttr": choose_attribute,
    "ChooseCat": choose_category,
    "ChooseRel": choose_relation,
    "CompareAttr": compare_attribute,
    "LogicalObj": logical_object,
    "QueryAttr": query_side,
}
"""What asks a question of each task; every one can ask about any scene."""


def _alternatives(draw: Random, right: str, other: str, words: Sequence[str]) -> list[str]:
    """Put the right word and a wrong one into random order."""
    wrong = other
    if other == right or draw.random() >= FROM_OTHER:
        wrong = draw.choice([word for word in words if word not in (right, other)])
    return draw.sample((right, wrong), 2)


def _named_shapes(scene: Scene, draw: Random) -> list[str]:
    """Choose two of the three shapes; one that is absent is named often only where the colors can trap."""
    present = [thing.shape for thing in scene.things]
    (absent,) = set(SHAPES) - set(present)
    differ = scene.things[0].color != scene.things[1].color
    if draw.random() < (NAMES_ABSENT if differ else 2 / 3):
        return draw.sample([draw.choice(present), absent], 2)
    return draw.sample(present, 2)


def _color_for(scene: Scene, named: Sequence[str], holds: bool, draw: Random) -> str:
    """Choose the color so that the question is true of the scene, or is not."""
    inside = sorted({thing.color for thing in scene.things if thing.shape in named})
    if holds:
        return draw.choice(inside)
    trap = [thing.color for thing in scene.things if thing.color not in inside]
    if trap and draw.random() < HARD_NEGATIVE:
        return trap[0]
    shown = {thing.color for thing in scene.things}
    return draw.choice([color for color in COLORS if color not in shown])


def _select(thing: Thing) -> Step:
    return Step(operation="select", argument=f"{thing.shape} ({thing.id})")


def _exists(shape: str, color: str, objects: dict[str, str], first: int) -> tuple[Step, Step, Step]:
    return (
        Step(operation="select", argument=f"{shape} ({objects.get(shape, NO_OBJECT)})"),
        Step(operation="filter color", argument=color, dependencies=(first,)),
        Step(operation="exist", argument="?", dependencies=(first + 1,)),
    )
