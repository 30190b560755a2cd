"""Safety policy: the operator's rules for prompts and images, and the verdicts that they give."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from celeste_image.config import ConfigurationInvalid, ImageRule, Problem, SafetySettings, problems_in
from celeste_image.core.call import Call, Candidate
from celeste_image.core.card import ModelCard
from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Analyzed, ComputeUsed
from celeste_image.core.image import ImageInput
from celeste_image.core.request import AnalysisKind, Analyze, ImageRequest
from celeste_image.core.safety import SafetyAction, SafetyStage, SafetyVerdict
from celeste_image.core.textfile import read_text
from celeste_image.imaging.pixels import Pixels
from celeste_image.pipeline.content import texts_of
from celeste_image.pipeline.safety.words import WordList, words_of
from celeste_image.providers.base import Provider
from celeste_image.providers.registry import Registry

__all__ = ["Judgment", "Rules", "SafetyPolicy", "strongest"]

log = structlog.get_logger("celeste_image.safety")

Rules = Mapping[str, ImageRule]
"""The rules by category, without those that are off."""

MILD_TO_STRONG = tuple(SafetyAction)


@dataclass(frozen=True, slots=True)
class Judgment:
    """The verdicts on one image, and the seconds that an engine of this server worked for them."""

    verdicts: tuple[SafetyVerdict, ...]
    compute_seconds: float = 0.0


def strongest(verdicts: Sequence[SafetyVerdict]) -> SafetyVerdict:
    """Returns the verdict with the strongest action, and among those the one with the highest score."""
    return max(verdicts, key=lambda verdict: (MILD_TO_STRONG.index(verdict.action), verdict.score or 0.0))


class SafetyPolicy:
    """Judges the prompts and images of requests by the operator's rules.

    Attributes:
        inputs: The rules for images of requests.
        outputs: The rules for images that were made.
        pixels: Blurs images.
    """

    def __init__(self, settings: SafetySettings, registry: Registry, pixels: Pixels) -> None:
        """Reads the word lists, and finds the model that scores images.

        Raises:
            ConfigurationInvalid: Word lists can't be read or are empty; or the model that scores images can't be used,
                does not score images, or does not know a category.
        """
        self.pixels = pixels
        self.inputs: Rules = _on(settings.inputs)
        self.outputs: Rules = _on(settings.outputs)
        self._fails = SafetyAction(settings.on_error)
        self._words: dict[str, tuple[SafetyAction, WordList]] = {}
        self._engine = settings.engine
        problems: list[Problem] = []
        for category, rule in settings.prompts.items():
            if rule.action != "off":
                path = f"safety.prompts.{category}"
                try:
                    self._words[category] = SafetyAction(rule.action), _word_list(path, rule.words, rule.files)
                except ValueError as error:
                    problems += problems_in(error)
        if self.inputs or self.outputs:
            try:
                self._provider, self._card = _engine(settings.engine, registry)
                problems += self._unknown_categories()
            except ValueError as error:
                problems += problems_in(error)
        if problems:
            raise ConfigurationInvalid(problems)

    def _unknown_categories(self) -> Iterator[Problem]:
        """Yields the rules for categories that the engine does not have."""
        known = self._card.safety_categories
        for name, rules in (("inputs", self.inputs), ("outputs", self.outputs)):
            for category in rules:
                if category not in known:
                    text = f"{self._card.id} has no such category; it has {', '.join(known)}"
                    yield Problem(("safety", name, category), text)

    @property
    def checks_prompts(self) -> bool:
        """Whether there are words to look for."""
        return bool(self._words)

    def of_texts(self, request: ImageRequest) -> list[SafetyVerdict]:
        """Returns a verdict for each text and each word list with a term in it. Blocks, so call it in a thread."""
        found = []
        for path, text in texts_of(request):
            words = words_of(text)
            for category, (action, terms) in self._words.items():
                if terms.finds(words):
                    found.append(SafetyVerdict(SafetyStage.PROMPT, category, action, path=path))
        return found

    async def of_image(self, image: ImageInput, call: Call, rules: Rules, about: SafetyVerdict) -> Judgment:
        """Returns a verdict on an image for each category that has a rule.

        An image that could not be checked, for whatever reason, gets one verdict with the operator's `on_error` action.

        Args:
            image: The image, with its facts.
            call: The call.
            rules: The rules, by category.
            about: The fields that the verdicts have in common.
        """
        about = replace(about, engine=self._engine)
        try:
            scores, seconds = await self._scores(image, call)
            verdicts = []
            for category, rule in rules.items():
                score = scores[category]
                action = SafetyAction(rule.action) if score >= rule.threshold else SafetyAction.ALLOW
                verdicts.append(replace(about, category=category, action=action, score=score, threshold=rule.threshold))
            return Judgment(tuple(verdicts), seconds)
        except Exception as error:
            if isinstance(error, CelesteError):
                log.warning("image not checked", reason=error.reason, error=error.message, request_id=call.request_id)
                reason = error.reason
            else:
                log.exception("image not checked", request_id=call.request_id)
                reason = "INTERNAL"
            message = f"it could not be checked by {self._engine} ({reason})"
            return Judgment((replace(about, category="", action=self._fails, message=message),))

    async def _scores(self, image: ImageInput, call: Call) -> tuple[dict[str, float], float]:
        """Returns a score for each of the engine's categories, and the seconds that the engine worked.

        The call skips the queue of the engine's provider, since a call that waits here may hold the queue's only place.

        Raises:
            CelesteError: The engine failed, or gave no score for a category.
        """
        request = Analyze(model=self._engine, image=image, kinds=(AnalysisKind.SAFETY,))
        scores: dict[str, float] = {}
        seconds = 0.0
        async with aclosing(self._provider.run(request, Candidate(call, self._card))) as events:
            async for event in events:
                match event:
                    case Analyzed(analysis) if analysis.safety:
                        scores = {each.category: each.score for each in analysis.safety.scores}
                    case ComputeUsed():
                        seconds += event.compute_seconds
        if missing := {*self.inputs, *self.outputs} - set(scores):
            raise ProviderFailed(f"{self._engine}: it gave no score for {', '.join(sorted(missing))}")
        return scores, seconds


def _on(rules: Mapping[str, ImageRule]) -> Rules:
    return {category: rule for category, rule in rules.items() if rule.action != "off"}


def _engine(model: str, registry: Registry) -> tuple[Provider, ModelCard]:
    """Returns the model that scores images, with its provider. Raises ValueError if it can't be used."""
    able = {card.id: card for card in registry.cards.values() if card.safety_categories}
    if (card := able.get(model)) is None:
        raise ValueError(f"safety.engine: {model!r} does not score images; these do: {', '.join(able)}")
    if not registry.ready(card):
        how = f"get its weights with: {card.pull}" if card.pull else f"{card.provider} has no key"
        raise ValueError(f"safety.engine: {model} can't be used; {how}")
    return registry.providers[card.provider], card


def _word_list(path: str, words: Sequence[str], files: Sequence[Path]) -> WordList:
    """Returns the words of a category. Raises ValueError if a file can't be read, or there are no words."""
    terms = list(words)
    for file in files:
        try:
            lines = read_text(file).splitlines()
        except OSError as error:
            raise ValueError(f"{path}.files: {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}.files: {file}: is not UTF-8") from error
        terms += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not terms:
        raise ValueError(f"{path}: has no words, so nothing would be found")
    try:
        return WordList(terms)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
