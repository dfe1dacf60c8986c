"""The world of the demo corpus: coloured shapes in places, what is said of them, and what they look like.

Captions turn on what a picture shows (colour, shape, size, place) and on what comes first; not on directions
of motion, which a mean over frames cannot see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 215, 50),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
    "purple": (150, 50, 190),
    "orange": (245, 140, 30),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
SIZES = {"small": 0.17, "large": 0.30}
PLACES = {
    "on the left": (0.27, 0.5),
    "on the right": (0.73, 0.5),
    "at the top": (0.5, 0.27),
    "at the bottom": (0.5, 0.73),
    "in the middle": (0.5, 0.5),
}


#: What a thing can do, and how a question says that it did.
ACTS = {"glow": "glowing", "grow": "growing", "vanish": "vanishing", "split": "splitting", "wink": "winking"}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Every other word of captions, questions and answers; a vocabulary must not depend on which corpora are
#: made.
OTHER_WORDS = [
    "a",
    "after",
    "and",
    "appears",
    "are",
    "be",
    "before",
    "by",
    "can",
    "color",
    "comes",
    "do",
    "does",
    "first",
    "followed",
    "here",
    "how",
    "is",
    "it",
    "large",
    "last",
    "many",
    "of",
    "on",
    "at",
    "in",
    "left",
    "right",
    "top",
    "bottom",
    "middle",
    "picture",
    "seen",
    "something",
    "stays",
    "then",
    "there",
    "thing",
    "things",
    "times",
    "to",
    "video",
    "what",
    "where",
    "which",
    "who",
    "with",
    "yes",
    "no",
    ",",
    "?",
    ".",
    "next",
    "finally",
    "we",
    "see",
]


def list_words() -> list[str]:
    """Return every word that any corpus uses, sorted."""
    places = [word for place in PLACES for word in place.split()]
    return sorted({*COLOURS, *SHAPES, *SIZES, *places, *ACTS, *ACTS.values(), *NUMBERS, *OTHER_WORDS})


@dataclass(frozen=True)
class Thing:
    """A shape that can be seen."""

    colour: str
    shape: str
    size: str
    place: str

    @property
    def phrase(self) -> str:
        """The words by which a caption names it."""
        return f"a {self.size} {self.colour} {self.shape} {self.place}"


def draw_thing(rng: np.random.Generator, not_colour: str = "", not_place: str = "") -> Thing:
    """Draw a thing of another colour and at another place than given."""
    colours = [colour for colour in COLOURS if colour != not_colour]
    places = [place for place in PLACES if place != not_place]
    return Thing(
        colours[rng.integers(len(colours))],
        SHAPES[rng.integers(len(SHAPES))],
        list(SIZES)[rng.integers(len(SIZES))],
        places[rng.integers(len(places))],
    )


def draw_distinct(rng: np.random.Generator, count: int) -> list[Thing]:
    """Draw things of different colours, shapes and places, so that a question can mean only one of them."""
    colours, shapes, places = (rng.permutation(len(table))[:count] for table in (COLOURS, SHAPES, PLACES))
    sizes = rng.integers(len(SIZES), size=count)
    return [
        Thing(list(COLOURS)[c], SHAPES[s], list(SIZES)[z], list(PLACES)[p])
        for c, s, z, p in zip(colours, shapes, sizes, places, strict=True)
    ]


def ask_about(thing: Thing, others: list[Thing], rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Return (question, answer, kind) about what can be seen of a thing, where nothing else fits the question."""
    place = thing.place.split()[-1]
    questions = []
    if all(other.shape != thing.shape for other in others):
        questions += [
            (f"what color is the {thing.shape} ?", thing.colour, "color"),
            (f"where is the {thing.shape} ?", place, "location"),
            (f"how large is the {thing.shape} ?", thing.size, "how"),
        ]
    if all(other.colour != thing.colour for other in others):
        questions += [
            (f"what is {thing.colour} ?", thing.shape, "object"),
            (f"where is the {thing.colour} thing ?", place, "location"),
        ]
    return [questions[i] for i in rng.permutation(len(questions))]


def describe_still(things: list[Thing], rng: np.random.Generator, count: int) -> list[str]:
    """Return different captions of a picture."""
    joined = " and ".join(thing.phrase for thing in things)
    turned = " and ".join(thing.phrase for thing in reversed(things))
    forms = [joined, f"there is {turned}", f"a picture of {joined}", f"{turned} can be seen"]
    return [forms[i] for i in rng.permutation(len(forms))[:count]]


def describe_video(first: Thing, second: Thing, rng: np.random.Generator, count: int) -> list[str]:
    """Return different captions of a video that shows one thing, then another."""
    a, b = first.phrase, second.phrase
    forms = [f"{a} and then {b}", f"first {a} , then {b}", f"{a} is followed by {b}", f"{b} comes after {a}"]
    return [forms[i] for i in rng.permutation(len(forms))[:count]]


def make_background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return a soft grey texture, so that no colour of a thing is the background's."""
    coarse = rng.integers(95, 165, (5, 5)).astype(np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32
    )
    grain = rng.normal(0, 4, (height, width))
    grey = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, -1))


def paint(
    image: Image.Image,
    thing: Thing,
    offset: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
    pose: str = "",
) -> None:
    """Draw a thing onto a picture.

    Args:
        image: changed.
        thing: what.
        offset: moved by, as a share of the picture.
        turn: radians.
        pose: the act it is doing, a key of ``ACTS``, or none.
    """
    width, height = image.size
    x, y = (PLACES[thing.place][i] + offset[i] for i in (0, 1))
    cx, cy, radius = x * width, y * height, SIZES[thing.size] * min(width, height)
    draw, colour = ImageDraw.Draw(image), COLOURS[thing.colour]
    if pose == "grow":
        # Size alone could be another thing's: its edge shows that it has grown.
        _fill(
            draw,
            thing.shape,
            colour,
            cx,
            cy,
            2.1 * radius,
            turn,
            outline=(0, 230, 230),
            width=max(3, round(0.3 * radius)),
        )
        return
    if pose == "glow":
        outer = 1.7 * radius
        _fill_circle(draw, cx, cy, outer, outline=(255, 255, 210), width=max(3, round(0.4 * radius)))
    if pose == "split":
        half = 0.6 * radius
        for side in (-1.5, 1.5):
            _fill(draw, thing.shape, colour, cx + side * half, cy, half, turn)
        crack = 0.2 * radius
        draw.rectangle((cx - crack, cy - 1.2 * radius, cx + crack, cy + 1.2 * radius), fill=(255, 90, 255))
        return
    if pose == "vanish":
        # Only its outline stays: one frame must tell that it was there.
        _fill(
            draw,
            thing.shape,
            None,
            cx,
            cy,
            radius,
            turn,
            outline=(255, 255, 255),
            width=max(2, round(0.2 * radius)),
        )
        return
    _fill(draw, thing.shape, colour, cx, cy, radius, turn)
    if pose == "wink":
        _fill_circle(draw, cx, cy, 0.7 * radius, fill=(255, 255, 255))
        _fill_circle(draw, cx, cy, 0.4 * radius, fill=(0, 0, 0))


def _fill_circle(draw: ImageDraw.ImageDraw, cx: float, cy: float, radius: float, **style) -> None:
    draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), **style)


def _fill(
    draw: ImageDraw.ImageDraw, shape: str, colour, cx: float, cy: float, radius: float, turn: float, **style
) -> None:
    if shape == "circle":
        _fill_circle(draw, cx, cy, radius, fill=colour, **style)
        return
    draw.polygon(
        [(cx + radius * px, cy + radius * py) for px, py in _outline(shape, turn)], fill=colour, **style
    )


def _outline(shape: str, turn: float) -> list[tuple[float, float]]:
    if shape == "cross":
        arm = 0.36
        points = [
            (-arm, -1),
            (arm, -1),
            (arm, -arm),
            (1, -arm),
            (1, arm),
            (arm, arm),
            (arm, 1),
            (-arm, 1),
            (-arm, arm),
            (-1, arm),
            (-1, -arm),
            (-arm, -arm),
        ]
    else:
        corners, inner, start = {
            "square": (4, 1.0, math.pi / 4),
            "triangle": (3, 1.0, -math.pi / 2),
            "star": (5, 0.42, -math.pi / 2),
        }[shape]
        points = []
        for corner in range(corners):
            angle = start + 2 * math.pi * corner / corners
            points.append((math.cos(angle), math.sin(angle)))
            if inner < 1.0:
                angle += math.pi / corners
                points.append((inner * math.cos(angle), inner * math.sin(angle)))
    cos, sin = math.cos(turn), math.sin(turn)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]
