import io
import json
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from celeste_image.providers.local.engines.compose import backdrop, run, things
from celeste_image.providers.local.engines.compose.scene import Scene
from celeste_image.providers.local.engines.compose.vocabulary import ALIASES, Subject, art, read

Sent = list[tuple[str, dict[str, Any], bytes]]


def drawn(
    prompt: str,
    negative_prompt: str = "",
    *,
    width: int = 192,
    height: int = 128,
    seed: int = 1,
    preview: bool = False,
) -> Sent:
    task = {
        "prompt": prompt, "negative_prompt": negative_prompt, "width": width, "height": height, "seed": seed,
        "preview": preview,
    }  # fmt: skip
    sent: Sent = []

    def emit(kind: str, fields: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        sent.append((kind, json.loads(json.dumps(fields or {})), payload))

    run(task, [], emit)
    return sent


def facts(prompt: str, negative_prompt: str = "", **task: Any) -> dict[str, Any]:
    return drawn(prompt, negative_prompt, **task)[-1][1]


def placed(prompt: str, seed: int = 1) -> tuple[Scene, dict[str, list[Any]]]:
    scene = Scene(read(prompt), 768, 512, seed)
    backdrop.paint(scene)
    found: dict[str, list[Any]] = {}
    for thing in things.place(scene):
        found.setdefault(thing.subject.name, []).append(thing)
    return scene, found


def test_same_task_same_bytes() -> None:
    first, second = (drawn("a red fox in a snowy forest at night", preview=True) for _ in range(2))
    assert first == second


def test_seeds_differ() -> None:
    one, two = (
        Image.open(io.BytesIO(drawn("a red fox in a snowy forest at night", seed=seed)[-1][2])) for seed in (1, 2)
    )
    assert sum(ImageStat.Stat(ImageChops.difference(one, two)).mean) > 5


@pytest.mark.parametrize("size", [(64, 64), (64, 400), (500, 70), (333, 257)])
@pytest.mark.parametrize("prompt", ["a lighthouse and a sailboat on the sea at sunset", "zyxw vuts"])
def test_size_is_as_asked(size: tuple[int, int], prompt: str) -> None:
    sent = drawn(prompt, width=size[0], height=size[1])
    picture = Image.open(io.BytesIO(sent[-1][2]))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", size)
    assert (sent[-1][1]["width"], sent[-1][1]["height"]) == size
    assert len(picture.getcolors(1 << 20) or ()) > 50


def test_largest_size() -> None:
    assert Image.open(io.BytesIO(drawn("mountains", width=2048, height=2048)[-1][2])).size == (2048, 2048)


def test_messages_in_order() -> None:
    sent = drawn("a cat in the rain", width=640, height=320, preview=True)
    kinds = [kind for kind, _, _ in sent]
    assert kinds.count("picture") == 1
    assert kinds.count("preview") == 1
    assert kinds[-1] == "picture"
    progress = [fields for kind, fields, _ in sent if kind == "progress"]
    assert [step["fraction"] for step in progress] == sorted(step["fraction"] for step in progress)
    assert progress[-1]["fraction"] == 1
    assert list(dict.fromkeys(step["phase"] for step in progress)) == ["scene", "render", "encode"]
    fields, payload = next((fields, payload) for kind, fields, payload in sent if kind == "preview")
    assert (fields["media_type"], fields["width"], fields["height"]) == ("image/jpeg", 256, 128)
    assert Image.open(io.BytesIO(payload)).size == (256, 128)


def test_no_preview_unless_asked() -> None:
    assert "preview" not in [kind for kind, _, _ in drawn("a cat")]


def test_preview_does_not_change_the_picture() -> None:
    assert drawn("a cat", preview=True)[-1] == drawn("a cat")[-1]


def test_nouns_are_found() -> None:
    found = facts("a red fox in a snowy forest at night")
    assert {"fox", "moon", "trees", "snow"} <= {*found["subjects"]}
    assert found["unmatched"] == []
    assert found["media_type"] == "image/png"
    assert found["seed"] == 1


def test_longest_name_wins() -> None:
    assert [subject.name for subject in read("a polar bear in a hot air balloon").subjects] == [
        "polar bear",
        "hot air balloon",
    ]


@pytest.mark.parametrize(
    ("prompt", "name", "count"),
    [("two cats", "cat", 2), ("three wolves", "wolf", 3), ("7 birds", "flying bird", 7), ("a dog", "dog", 1),
     ("rabbits", "rabbit", 3), ("99999999999 ducks", "duck", 12), ("a flock of geese", "goose", 6)],
)  # fmt: skip
def test_counts(prompt: str, name: str, count: int) -> None:
    assert [(subject.name, subject.count) for subject in read(prompt).subjects] == [(name, count)]
    assert len(placed(prompt)[1][name]) == count


def test_colour_and_size_go_to_the_next_thing() -> None:
    assert read("a big blue car and a cat").subjects == [
        Subject("automobile", 1, "#1e88e5", 1.35),
        Subject("cat"),
    ]
    assert drawn("a blue car")[-1][2] != drawn("a green car")[-1][2]


@pytest.mark.parametrize("seed", range(8))
def test_things_are_where_they_belong(seed: int) -> None:
    scene, found = placed("a lighthouse, a sailboat and an airplane on the sea", seed)
    boat, tower, plane = (found[name][0] for name in ("sailboat", "lighthouse", "airplane"))
    assert (boat.anchor, tower.anchor, plane.anchor) == ("water", "ground", "sky")
    assert boat.y > scene.horizon
    assert plane.y < scene.horizon
    inland = tower.x if scene.left else scene.wide - tower.x
    assert inland < scene.reach
    afloat = boat.x if scene.left else scene.wide - boat.x
    assert afloat > scene.reach * 0.8


def test_things_stay_in_the_frame() -> None:
    for prompt in ("a giraffe, a lighthouse and a castle", "nine elephants", "an ant"):
        scene, found = placed(prompt)
        for thing in (thing for group in found.values() for thing in group):
            assert thing.y - thing.height >= 0
            assert thing.y <= scene.high
            assert thing.x - thing.width / 2 >= -1
            assert thing.x + thing.width / 2 <= scene.wide + 1


def test_unmatched_words_are_named() -> None:
    assert facts("a cat contemplating epistemology")["unmatched"] == ["contemplating", "epistemology"]


def test_no_known_word_gives_an_abstract() -> None:
    found = facts("qwzx blorp")
    assert (found["subjects"], found["unmatched"]) == ([], ["qwzx", "blorp"])
    assert facts("")["subjects"] == []
    assert facts("日本語")["unmatched"] == ["日本語"]


def test_negative_prompt_takes_away() -> None:
    assert {"cat", "dog"} <= {*facts("a cat and a dog")["subjects"]}
    assert "dog" not in facts("a cat and a dog", "dogs")["subjects"]
    assert "moon" not in facts("a cat at night", "moon")["subjects"]
    assert facts("a forest", "trees")["subjects"] == ["sun"]
    assert "person standing" not in facts("a street without people")["subjects"]


def test_hostile_words_do_not_reach_the_svg() -> None:
    assert drawn('a cat <script>&amp;" onload="x')[-1][0] == "picture"


def test_every_drawing_and_name_is_whole() -> None:
    things, words = art()["things"], art()["words"]
    assert {*words.values()} <= {*things}
    for thing in things.values():
        left, top, right, bottom = thing["box"]
        assert left < right
        assert top < bottom


def test_aliases_lead_to_drawings() -> None:
    assert {*ALIASES.values()} <= {*art()["things"]}


def test_long_prompts_end_soon() -> None:
    every = " ".join(art()["things"])
    found = facts(f"twelve {every}")
    assert len(found["subjects"]) < 40
    assert found["unmatched"]
    assert facts("no " * 5000 + "\n" + "without a cat " * 2000)["subjects"] == []


def test_hyphens_and_possessives_do_not_hide_a_name() -> None:
    assert [subject.name for subject in read("a t-rex and the farmer's hot-air balloon").subjects] == [
        "t-rex",
        "farmer",
        "hot air balloon",
    ]
