"""Longer happenings than a caption's two things.

GIFs in which a thing acts, and videos told in several sentences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from demo_corpus.media import FRAME_SIZES
from demo_corpus.world import ACTS, Thing, draw_distinct, make_background, paint

#: Number of frames of a GIF and of one act.
GIF_FRAMES, ACT_FRAMES, GIF_FPS = 40, 3, 10
#: Share of a GIF that shows its third thing.
GLIMPSE = 0.6
#: Frames per second of a long video; its motion is slow.
STORY_FPS = 4


@dataclass
class GifScene:
    """An actor, a bystander, and a thing that is there for a moment.

    Attributes:
        acts: frame ranges (start, end, act).
        repeated: (act, times) where one act is repeated, else None.
        order: the two acts where one comes before the other, else None.
    """

    actor: Thing
    bystander: Thing
    glimpsed: Thing
    acts: list[tuple[int, int, str]] = field(default_factory=list)
    repeated: tuple[str, int] | None = None
    order: tuple[str, str] | None = None
    glimpse_start: int = 0

    def pose_at(self, frame: int) -> str:
        """Return the act of the actor in a frame, or an empty string."""
        return next((act for start, end, act in self.acts if start <= frame < end), "")


def draw_gif_scene(rng: np.random.Generator, changes: bool) -> GifScene:
    """Draw a scene: one act repeated 2 to 8 times, or one act and then another."""
    actor, bystander, glimpsed = draw_distinct(rng, 3)
    scene = GifScene(actor, bystander, glimpsed)
    names = list(ACTS)
    scene.glimpse_start = int(rng.integers(0, GIF_FRAMES - int(GLIMPSE * GIF_FRAMES)))
    if changes:
        first, second = (names[i] for i in rng.permutation(len(names))[:2])
        middle = GIF_FRAMES // 2
        scene.acts = [(2, middle - 2, first), (middle + 2, GIF_FRAMES - 2, second)]
        scene.order = (first, second)
        return scene
    act, times = names[rng.integers(len(names))], int(rng.integers(2, 9))
    space = GIF_FRAMES // times
    scene.acts = [(i * space, i * space + ACT_FRAMES, act) for i in range(times)]
    scene.repeated = (act, times)
    return scene


def render_gif(scene: GifScene, seed: list[int]) -> tuple[list[Image.Image], int]:
    """Return the scene's frames and their frames per second."""
    rng = np.random.default_rng(seed)
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    background = make_background(rng, width, height)
    glimpse = range(scene.glimpse_start, scene.glimpse_start + int(GLIMPSE * GIF_FRAMES))
    frames = []
    for number in range(GIF_FRAMES):
        image = background.copy()
        pose = scene.pose_at(number)
        others = [scene.bystander, scene.glimpsed] if number in glimpse else [scene.bystander]
        if pose == "grow":
            # What has grown stands behind the others, or they could not be asked about.
            paint(image, scene.actor, pose=pose)
        for thing in others:
            paint(image, thing)
        if pose != "grow":
            paint(image, scene.actor, pose=pose)
        frames.append(image)
    return frames, GIF_FPS


@dataclass(frozen=True)
class Story:
    """Things that follow one another.

    Attributes:
        things: in order.
        starts_sec: when each comes; it stays until the next.
        duration_sec: length of the video; after the last thing's end nothing is there.
        end_sec: when the last thing goes.
    """

    things: tuple[Thing, ...]
    starts_sec: tuple[float, ...]
    end_sec: float
    duration_sec: float


def draw_story(
    rng: np.random.Generator, num_things: int, part_sec: tuple[float, float], rest_sec: float
) -> Story:
    """Draw a story whose parts last ``part_sec`` (least, most), with up to ``rest_sec`` of empty scene after it."""
    lengths = rng.uniform(*part_sec, num_things)
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    return Story(
        tuple(draw_distinct(rng, num_things)),
        tuple(starts[:-1].tolist()),
        float(starts[-1]),
        float(starts[-1] + rng.uniform(0, rest_sec)),
    )


def describe_story(story: Story) -> list[str]:
    """Return a sentence for each thing."""
    openings = ["first we see", "then there is", "next comes", "finally we see"]
    openings = [*openings[: len(story.things) - 1], openings[-1]]
    return [f"{opening} {thing.phrase}" for opening, thing in zip(openings, story.things, strict=True)]


def render_story(story: Story, seed: list[int]) -> tuple[list[Image.Image], int]:
    """Return the story's frames and their frames per second."""
    rng = np.random.default_rng(seed)
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    background = make_background(rng, width, height)
    speed = rng.uniform(1.0, 2.0)
    frames = []
    for number in range(max(4, int(story.duration_sec * STORY_FPS))):
        time = number / STORY_FPS
        image = background.copy()
        if time < story.end_sec:
            part = int(np.searchsorted(story.starts_sec, time, side="right")) - 1
            sway = (0.04 * math.sin(speed * time), 0.04 * math.cos(speed * time))
            paint(image, story.things[part], sway, 0.3 * math.sin(speed * time))
        frames.append(image)
    return frames, STORY_FPS
