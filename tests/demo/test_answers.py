"""The answers of the demo's emulator: the sentences that questions belong to, for a question that is like one of these."""

from __future__ import annotations

import pytest

pytest.importorskip("bm25s")

from together_adapters import AsyncTogether, Together
from together_adapters.demo.answering import Reference, answer_by_questions, full_text, prompt
from together_adapters.demo.answers import AnswerFinder, cite
from together_adapters.demo.corpus import Passage
from together_adapters.demo.questions import Question, questions_for
from together_adapters.demo.sentences import Sentence, split_sentences
from together_adapters.emulator import serve
from together_adapters.emulator.engine.extractive_qa import NOT_FOUND
from together_adapters.types.chat import ChatCompletion

MODEL = "openai/gpt-oss-120b"
TEXT = """Kettles (1 of 2)

A kettle boils water. It whistles when it is done. See section Pots for more.

kettle.fill(litres)

Fill the kettle, e.g. `kettle.fill(1)`. Return nothing.

The usual way is:

    kettle = Kettle()
    kettle.fill(1)

These are its states:

cold, which is the first one

1. hot

    `k.on()` | switches it on. | (1)
    `k.off()` | | switches it off

pour cup

    Pour the water into a cup."""

CONTEXT = [Passage("Kettles", "A kettle boils water. It whistles when the water is hot."), Passage("Pots", "A pot cooks soup.")]
QUESTIONS = {
    full_text(CONTEXT[0]): [Question("heat water for tea", 8), Question("noise of a kettle", 30)],
    full_text(CONTEXT[1]): [Question("make lunch", 5)],
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def test_sentences_as_they_are_quoted() -> None:
    sentences = split_sentences(TEXT)
    assert [sentence.text for sentence in sentences] == [
        "A kettle boils water.",
        "It whistles when it is done.",
        "See section Pots for more.",
        "kettle.fill(litres): Fill the kettle, e.g. `kettle.fill(1)`.",
        "Return nothing.",
        "The usual way is:",
        "These are its states: cold, which is the first one; 1. hot;",
        "`k.on()`: switches it on.",
        "`k.off()`: switches it off.",
        "pour cup: Pour the water into a cup.",
    ]
    assert sentences[5].example == "    kettle = Kettle()\n    kettle.fill(1)"
    line = " ".join(TEXT.split())
    assert [line[sentence.start :].split()[0] for sentence in sentences] == [
        "A", "It", "See", "kettle.fill(litres)", "Return", "The", "These", "`k.on()`", "`k.off()`", "pour",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        (Sentence("It ends.", 0, 0), "It ends [2]. "),
        (Sentence("(It ends.)", 0, 0), "(It ends.) [2]"),
        (Sentence("These are it: one; two;", 0, 0), "These are it: one; two [2]. "),
        (Sentence("Like this:", 0, 0), "Like this [2]. "),
        (Sentence("Like this:", 0, 0, "    a = 1"), "Like this [2]:\n\n    a = 1\n\n"),
    ],
)
def test_citations_stand_in_the_sentence(sentence: Sentence, text: str) -> None:
    assert cite(sentence, "2").strip() == text.strip()


@pytest.mark.parametrize(
    ("question", "quotations"),
    [
        ("How do I heat water?", [["A kettle boils water.", "It whistles when the water is hot."]]),
        ("What is the noise of the kettle?", [["A kettle boils water.", "It whistles when the water is hot."]]),
        ("How do I make lunch?", [["A pot cooks soup."]]),
        ("How do I repair a bicycle?", []),
        ("How do I heat a swimming pool with solar panels?", []),
        ("", []),
    ],
)
def test_a_question_is_answered_where_a_like_one_is(question: str, quotations: list[list[str]]) -> None:
    finder = AnswerFinder(QUESTIONS, lambda term: 1.0)
    texts = [full_text(passage) for passage in CONTEXT]
    results = finder.find(question, [*texts, "A text without questions. It heats water."])
    assert [[sentence.text for sentence in quotation.sentences] for quotation in results] == quotations


@pytest.mark.parametrize(
    ("question", "is_answered"),
    [
        ("What is the difference between `nonlocal` and `global`?", True),
        ("What is the difference between is and ==?", False),
        ("`is` vs `==`", False),
        ("What is a lambda?", True),
        ("How does a lambda differ from a def?", False),
        ("operator precedence", False),  # "the following table"
        ("In what order are several decorators applied?", False),
        ("What does yield from do?", False),
    ],
)
def test_half_an_answer_is_none(question: str, is_answered: bool, reference: Reference) -> None:
    """Sentences that speak of one of two things, announce what is not quoted, or know half of a keyword only seem to answer."""
    texts = [full_text(passage) for passage in reference.search(question)]
    assert bool(reference.quotations(question, texts)) == is_answered


def test_questions_belong_to_sentences(reference: Reference) -> None:
    """Of all editions: what has words of a line is a sentence, and nearly all sentences end as sentences do."""
    questions = questions_for(reference.texts)
    answerable = [question for group in questions for question in group if question.position is not None]
    assert len(answerable) > 2_000
    for text, group in zip(reference.texts, questions, strict=True):
        sentences = split_sentences(text)
        for question in group:
            assert question.position is None or any(sentence.start <= question.position for sentence in sentences)


async def test_an_emulator_answers_by_the_questions(reference: Reference) -> None:
    text = "I want to skip some items of the loop"
    context = [passage for passage in reference.passages if passage.title in ("The break statement", "The continue statement")]
    messages = [{"role": "user", "content": prompt(text, context)}]
    off_topic = [{"role": "user", "content": prompt("How do I bake bread?", context)}]
    parts = [{"role": "user", "content": [{"type": "text", "text": prompt(text, context)}]}]
    with serve() as emulator:
        answer_by_questions(emulator, reference)
        with Together(api_key="emulator", base_url=emulator.base_url) as client:
            answers = [
                _answer(client.chat.completions.create(model=MODEL, messages=each)) for each in (messages, parts, off_topic)
            ]
            chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            other = _answer(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Say hello"}]))
        async with AsyncTogether(api_key="emulator", base_url=emulator.base_url) as async_client:
            again = _answer(await async_client.chat.completions.create(model=MODEL, messages=messages))
    assert "It continues with the next cycle of the nearest enclosing loop [2]." in answers[0]
    assert answers == [streamed, again, NOT_FOUND]
    assert other
    assert "[2]" not in other


def _answer(response: ChatCompletion) -> str:
    message = response.choices[0].message
    assert message is not None
    return message.content or ""
