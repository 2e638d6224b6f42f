"""Answers from a context: quotations with the numbers of their passages; and answers to the prompts of frameworks."""

from __future__ import annotations

import re

import pytest

from tests.emulator.conftest import Chat
from together_adapters.emulator.engine.extractive_qa import sentences

PASSAGES = """[1] Kilns

A kiln is an oven that hardens clay. It reaches about 1,200 degrees, e.g. for stoneware (see section Glazes). Small kilns heat
up within three hours.

[2] Glazes
======

Glazes are applied before the second firing. A glaze seals the surface, because it melts into glass. Lead glazes were
abandoned in 1974 for reasons of health.

   mix(water, powder)  # not a sentence

[3] Wedging removes air from clay before it is shaped. Air that stays in the clay may burst the pot in the kiln. The wheel"""

CASES = [
    ("What is a kiln?", "A kiln is an oven that hardens clay [1].", "Wedging"),
    ("Why does a glaze seal the surface?", "A glaze seals the surface, because it melts into glass [2].", "oven"),
    ("When were lead glazes abandoned?", "Lead glazes were abandoned in 1974 for reasons of health [2].", "oven"),
    ("What does wedging remove from clay?", "Wedging removes air from clay before it is shaped [3].", "Lead"),
    (
        "How hot does a kiln get, in degrees?",
        "It reaches about 1,200 degrees, e.g. for stoneware (see section Glazes) [1].",
        "Lead",
    ),
]


@pytest.mark.parametrize("form", ["plain", "tags", "fenced", "system"])
@pytest.mark.parametrize(("question", "sentence", "other"), CASES)
def test_answer_quotes_and_cites_the_best_sentence(chat: Chat, form: str, question: str, sentence: str, other: str) -> None:
    prompts = {
        "plain": [{"role": "user", "content": f"Answer from the sources and cite them.\n\n{PASSAGES}\n\nQuestion: {question}"}],
        "tags": [{"role": "user", "content": f"<passages>\n{PASSAGES}\n</passages>\n\nQuestion: {question}"}],
        "fenced": [
            {
                "role": "system",
                "content": "You are an expert Q&A system.\nSome rules to follow:\n1. Never reference the context.",
            },
            {
                "role": "user",
                "content": f"Context information is below.\n---------------------\n{PASSAGES}\n---------------------\n"
                f"Given the context information and not prior knowledge, answer the query.\nQuery: {question}\nAnswer: ",
            },
        ],
        "system": [
            {"role": "system", "content": f"You answer from the context.\n\n{PASSAGES}"},
            {"role": "user", "content": question},
        ],
    }
    answer = chat.text(prompts[form])
    assert sentence in answer
    assert other not in answer
    quotations = re.findall(r"(.+?) \[\d\][.!?] ?", answer)
    text = " ".join(PASSAGES.split())
    assert quotations
    assert len(quotations) == len(set(quotations)) <= 3
    assert all(part in text for part in quotations)


TEXTS = ("Boats float on water. They have a keel.", "Otters eat crabs every day.", "Beavers build dams of wood.")
FORMS = {
    "Source: {0}.txt\nContent: {1}": "2.txt",
    "Source: {{'source': '{0}.txt', 'page': 7}}\nContent: {1}": "2.txt",
    "Source ID: {0}\nArticle Title: Animals\nArticle Snippet: {1}": "2",
    "Document {0}:\n{1}": "2",
    '<document id="{0}" source="a.txt">\n{1}\n</document>': "2",
    '<document index="{0}">\n<source>a.txt</source>\n<document_content>\n{1}\n</document_content>\n</document>': "2",
    "[{0}.txt] {1}": "2.txt",
    "file_path: {0}.txt\n\n{1}": "2.txt",
    "{0}. {1}": "2",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_passages_that_are_cited(chat: Chat, form: str) -> None:
    context = "\n\n".join(form.format(i, text) for i, text in enumerate(TEXTS, 1))
    question = f"Context:\n{context}\n\nQuestion: What do otters eat?"
    system = {"role": "system", "content": "Answer from the context. Cite your sources."}
    answer = f"Otters eat crabs every day [{FORMS[form]}]."
    assert chat.text([system, {"role": "user", "content": question}]) == answer
    if not form.startswith("{0}."):  # a list without a label may be one of rules
        in_system = {"role": "system", "content": f"Cite your sources.\n\n{context}"}
        assert chat.text([in_system, {"role": "user", "content": "What do otters eat?"}]) == answer


@pytest.mark.parametrize("form", ["[{0}.txt] {1}", "{0}. {1}", '<document id="{0}">\n{1}\n</document>'])
def test_other_forms_are_not_cited_where_the_prompt_does_not_ask(chat: Chat, form: str) -> None:
    context = "\n\n".join(form.format(i, text) for i, text in enumerate(TEXTS, 1))
    answer = chat.text(f"Context:\n{context}\n\nQuestion: What do otters eat?")
    assert "Otters eat crabs every day." in answer
    assert "[2]" not in answer


def test_question_that_the_context_does_not_answer(chat: Chat) -> None:
    answer = chat.text(f"Context:\n{PASSAGES}\n\nQuestion: What is the capital of Mongolia?")
    assert answer.startswith("I don't know")


def test_passages_without_numbers_are_not_cited(chat: Chat) -> None:
    answer = chat.text("Context:\nOtters eat crabs. They sleep in dens.\n\nQuestion: What do otters eat?\nHelpful Answer:")
    assert answer == "Otters eat crabs."


def test_sentence_with_pronoun_is_quoted_with_its_antecedent(chat: Chat) -> None:
    context = "The Eiffel Tower stands in Paris. It was completed in 1889. It is painted every seven years."
    answer = chat.text(f"Context:\n{context}\n\nQuestion: When was the Eiffel Tower completed?")
    assert answer == "The Eiffel Tower stands in Paris. It was completed in 1889."


def test_examples_in_the_prompt_are_not_sources(chat: Chat) -> None:
    prompt = (
        "Please provide an answer based solely on the provided sources. For example:\nSource 1:\nThe sky is red in the evening.\nSource 2:\n"
        "Water is wet when the sky is red.\nQuery: When is water wet?\nAnswer: Water will be wet when the sky is red [2].\n"
        "Now it's your turn. Below are several numbered sources of information:\n------\nSource 1:\nOtters eat crabs every day.\n\n"
        "Source 2:\nBeavers build dams of wood.\n\n------\nQuery: What do beavers build?\nAnswer: "
    )
    assert chat.text(prompt) == "Beavers build dams of wood [2]."


def test_sentences_of_technical_prose() -> None:
    text = """
8.5. The "del" statement
************************

   del_stmt ::= "del" target_list

Deletion is recursively defined very similar to the way assignment is
defined. Rather than spelling it out in full details, here are some
hints (cf. section Assignments, i.e. 7.2).

Note:

   x = 1
   del x

* Deletion of a target list deletes each target, from left to right.
* Names are unbound, e.g. in the local namespace

which is not a sentence, and nor is this
"""
    assert sentences(text) == (
        "Deletion is recursively defined very similar to the way assignment is defined.",
        "Rather than spelling it out in full details, here are some hints (cf. section Assignments, i.e. 7.2).",
        "Deletion of a target list deletes each target, from left to right.",
    )


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Say hello", "Hello."), ("Count to 5", "1, 2, 3, 4, 5"),
        ("Reply with exactly the words 'blue sky'", "blue sky"), ("", "There is nothing to answer in this message."),
    ],
)  # fmt: skip
def test_fixed_replies(chat: Chat, prompt: str, answer: str) -> None:
    assert chat.text(prompt) == answer


def test_other_requests_are_quoted(chat: Chat) -> None:
    assert "capital of France" in chat.text("What is the capital of France?")
    assert chat.text("你好") != ""


def test_answer_from_earlier_messages(chat: Chat) -> None:
    messages = [
        {"role": "user", "content": "Hi, my name is Ada Berg."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "What is my name?"},
    ]
    assert "Ada Berg" in chat.text(messages)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "The shop opens at 9. It sells lamps.\n\nWhen does the shop open?"}],
        [
            {"role": "system", "content": "You work in a shop. The shop opens at 9."},
            {"role": "user", "content": "When does the shop open?"},
        ],
    ],
)
def test_answer_without_marked_context(chat: Chat, messages: list[dict[str, str]]) -> None:
    assert chat.text(messages) == "The shop opens at 9."


def test_condensing_a_question(chat: Chat) -> None:
    prompt = (
        "Given a conversation and a follow up message from Human, rewrite the message to be a standalone question.\n\n<Chat History>\n"
        "user: What is a kiln?\nassistant: An oven.\n\n<Follow Up Message>\nHow hot does it get?\n\n<Standalone question>\n"
    )
    assert chat.text(prompt) == "How hot does it get, regarding kiln?"


REFERENCE = """[1] Identity comparisons

The operators `is` and `is not` test for an object's identity. An object's identity is determined using the `id()` function.

[2] String methods

str.zfill(width)

Return a copy of the string left filled with zeros. Values are not changed.

[3] Lists

    `s.reverse()` | reverses the items of s in place | (4)"""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What does `is` test?", "The operators `is` and `is not` test for an object's identity [1]."),
        ("Which string is filled with zeros?", "str.zfill(width): Return a copy of the string left filled with zeros [2]."),
        ("How are items reversed?", "`s.reverse()`: reverses the items of s in place [3]."),
        ("What does `in` test?", ""),
        ("Who invented string methods?", ""),
        ("Which string library is the fastest?", ""),
        ("Do they reverse?", ""),
    ],
)
def test_prompt_that_says_what_to_do_without_an_answer(chat: Chat, question: str, answer: str) -> None:
    """Each word that says much must be in the passages, and code in the quoted sentence."""
    system = "Answer from the numbered passages alone. If the passages do not answer the question, say so."
    text = chat.text([{"role": "system", "content": system}, {"role": "user", "content": f"{REFERENCE}\n\nQuestion: {question}"}])
    assert text.startswith(answer or "I don't know")
    assert ("[" in text) == bool(answer)


HANDBOOK = """[1] The shop has 12 employees. Employees have 27 days of paid leave a year.

[2] Passwords have at least 14 characters.

[3] Deliveries to the islands take three days. The museum was founded in 1921 and opens at 9. The harbour has friendly guards."""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many employees does the shop have?", "The shop has 12 employees [1]."),
        ("Can you tell me how much paid leave our employees get, please?", "Employees have 27 days of paid leave a year [1]."),
        ("How many characters must passwords have at least?", "Passwords have at least 14 characters [2]."),
        ("I'd like to know how long deliveries to the islands may take.", "Deliveries to the islands take three days [3]."),
        ("In which year was the museum founded?", "The museum was founded in 1921 and opens at 9 [3]."),
        ("What time does the museum open?", "The museum was founded in 1921 and opens at 9 [3]."),
        ("Do you know what kind of guards the harbour has?", "The harbour has friendly guards [3]."),
        ("How can I find out whether the harbour has guards?", "The harbour has friendly guards [3]."),
        ("I am trying to figure out when the museum was founded.", "The museum was founded in 1921 and opens at 9 [3]."),
        ("Is there an easy way to change passwords?", ""),
        ("I want to swim in the harbour.", ""),
        ("How many guards does the harbour have?", ""),
        ("How many customers does the shop have?", ""),
        ("How often must passwords be changed?", ""),
        ("Can you tell me who founded the library?", ""),
        ("How many?", ""),
    ],
)
def test_words_by_which_a_question_is_asked_need_no_answer(chat: Chat, question: str, answer: str) -> None:
    text = chat.text(f"If the context does not answer the question, say so.\n\nContext:\n{HANDBOOK}\n\nQuestion: {question}")
    assert (answer or "I don't know") in text
    assert ("[" in text) == bool(answer)
