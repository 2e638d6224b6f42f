"""Messages: roles and their order, content, weights, reasoning, tool calls."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import Path, RowFindings, kind_of
from together_adapters.finetune.rules import MAX_IMAGES, MESSAGE_KEYS, ROLES
from together_adapters.finetune.validation.check_content import ContentSummary, check_content
from together_adapters.finetune.validation.check_tools import ToolCallTracker
from together_adapters.finetune.validation.fast_path import are_text_messages

_PLAIN: Final = 2
_SMALL: Final = frozenset({"name", "reasoning", "reasoning_content"})


def check_messages(
    notes: RowFindings, messages: Any, path: Path, declared: set[str] | None, *, trains: bool = True
) -> str | None:
    """Look at a conversation.

    Args:
        notes: Where to note what is found.
        messages: The conversation.
        path: Where it stands in the row.
        declared: The names of the declared tools; None when none are.
        trains: Whether its answers are trained on; the input of a preference only asks.

    Returns:
        The role of the last message, where it can be told.
    """
    if not isinstance(messages, list):
        notes.add("messages_not_list", path, f"messages must be a list, not {kind_of(messages)}", messages)
        return None
    if not messages:
        notes.add("messages_empty", path, "there is no message")
        return None
    if are_text_messages(notes, messages, trains=trains):
        return "assistant" if trains else "user"
    talk = _Talk(notes, declared, trains)
    for place, message in enumerate(messages):
        talk.add(message, (path, place), place)
    talk.end(path)
    return talk.last


class _Talk:
    """A conversation, message by message."""

    def __init__(self, notes: RowFindings, declared: set[str] | None, trains: bool) -> None:
        self.last: str | None = None
        self._notes = notes
        self._trains = trains
        self._calls = ToolCallTracker(notes, declared)
        self._begun = False
        self._answers = 0
        self._trained = 0
        self._images = 0
        self._too_many = False
        self._parts: bool | None = None
        self._told_mixed = False

    def add(self, message: Any, path: Path, place: int) -> None:
        """Look at the next message."""
        notes = self._notes
        if not isinstance(message, dict):
            notes.turns += 1
            notes.add("message_not_object", path, f"a message must be an object, not {kind_of(message)}", message)
            self.last, self._begun = None, True
            return
        role = message.get("role")
        if type(role) is not str or role not in ROLES:
            role = check_role(notes, message, path)
        notes.count_role(role or "other")
        if role in (self.last, "system") or not self._begun or self._calls.open:
            self._check_order(role, path, place)
        before = notes.chars
        content = check_message(notes, message, path, role, self._calls)
        if role == "assistant":
            self._count_answer(message.get("weight"), notes.chars - before)
        if content is not None and (content.images or content.parts is not self._parts):
            self._count(message, path, content)
        self.last = role

    def end(self, path: Path) -> None:
        """Look at the conversation as a whole."""
        notes = self._notes
        self._calls.end()
        if self._images > MAX_IMAGES and not self._too_many:
            notes.add("too_many_images", path, f"{self._images} images in one row are more than {MAX_IMAGES}")
        if not self._trains:
            return
        if not self._answers:
            notes.add("no_assistant_message", path, "there is no message of role assistant")
        elif not self._trained:
            notes.add("nothing_to_train", path, "every assistant message has weight 0")
        elif self.last in ("user", "tool"):
            notes.add(f"ends_with_{self.last}", path, f"the conversation ends with a message of role {self.last}")

    def _check_order(self, role: str | None, path: Path, place: int) -> None:
        notes = self._notes
        if role == "system" and place:
            notes.add("system_not_first", path, "a system message stands after the beginning")
        elif role is not None and role == self.last and role != "tool":
            notes.add("roles_do_not_alternate", path, f"two messages of role {role} follow each other")
        if role != "system":
            if role == "assistant" and not self._begun:
                notes.add("leading_assistant", path, "the conversation begins with an answer")
            self._begun = True
        if role != "tool" and self.last is not None:
            self._calls.close()

    def _count_answer(self, weight: Any, chars: int) -> None:
        self._answers += 1
        self._trained += weight != 0 or isinstance(weight, bool)
        if self._trains and weight != 0:
            self._notes.trained_chars += chars

    def _count(self, message: dict[str, Any], path: Path, content: ContentSummary) -> None:
        if content.images:
            self._images += content.images
            self._too_many = self._too_many or content.images > MAX_IMAGES
            weight = message.get("weight")
            if isinstance(weight, int | float) and weight != 0:
                self._notes.add("image_message_weight_nonzero", (path, "weight"), "a message with an image has a weight", weight)
        if content.empty and not content.parts:
            return
        if self._parts is None:
            self._parts = content.parts
        elif self._parts != content.parts and not self._told_mixed:
            self._told_mixed = True
            self._notes.add("content_mixed", (path, "content"), "some messages have a text, others a list of parts")


def check_role(notes: RowFindings, message: dict[str, Any], path: Path) -> str | None:
    """Return a message's role, or None when it has none that exists."""
    role = message.get("role")
    if isinstance(role, str) and role in ROLES:
        return role
    if "role" not in message:
        notes.add("role_missing", path, "a message needs a role")
    elif not isinstance(role, str):
        notes.add("role_not_string", (path, "role"), f"a role must be a text, not {kind_of(role)}", role)
    else:
        hint = {"developer": "; its text belongs into a system message", "function": "; results have the role tool"}.get(role, "")
        notes.add("role_unknown", (path, "role"), f"there is no role {role[:60]!r}{hint}", role)
    return None


def check_message(
    notes: RowFindings,
    message: dict[str, Any],
    path: Path,
    role: str | None,
    calls: ToolCallTracker,
    missing: str = "content_missing",
) -> ContentSummary | None:
    """Look at what a message holds, wherever it stands; return its content."""
    plain = len(message) == _PLAIN and "role" in message and "content" in message
    called = not plain and _check_more(notes, message, path, role, calls)
    if role == "tool":
        calls.answer(message, path)
    content = message.get("content")
    if content is None and called:
        return None
    if content is None and "content" not in message:
        notes.add(missing, path, "a message needs content" + (" or tool calls" if role == "assistant" else ""))
        return None
    found = check_content(notes, content, (path, "content"), role or "user")
    if role == "assistant" and found is not None and not called:
        if found.empty:
            notes.add("content_empty", (path, "content"), "the answer is empty")
        elif found.blank:
            notes.add("content_blank", (path, "content"), "the answer holds only blanks")
    return found


def _check_more(notes: RowFindings, message: dict[str, Any], path: Path, role: str | None, calls: ToolCallTracker) -> bool:
    """Look at what a message has besides role and content; return whether its tool calls may stand in place of content."""
    if not message.keys() <= MESSAGE_KEYS:
        for key, value in message.items():
            if key not in MESSAGE_KEYS:
                notes.add("unknown_message_key", (path, key[:80]), f"a message has no {key[:60]!r}", value)
    if "weight" in message:
        _check_weight(notes, message["weight"], (path, "weight"))
    if not _SMALL.isdisjoint(message) or (role != "tool" and "tool_call_id" in message):
        _check_small(notes, message, path, role)
    return "tool_calls" in message and _check_calls(notes, message, (path, "tool_calls"), role, calls)


def _check_weight(notes: RowFindings, weight: Any, path: Path) -> None:
    notes.weighted = True
    if isinstance(weight, bool) or not isinstance(weight, int):
        notes.add("message_weight_not_int", path, f"a weight must be the integer 0 or 1, not {weight!r:.40}", weight)
    elif weight not in (0, 1):
        notes.add("message_weight_range", path, "a weight must be 0 or 1", weight)


def _check_small(notes: RowFindings, message: dict[str, Any], path: Path, role: str | None) -> None:
    """Look at name, reasoning and tool_call_id."""
    for key in ("name", "reasoning", "reasoning_content", "tool_call_id"):
        if key in message and message[key] is None and not (key == "tool_call_id" and role == "tool"):
            notes.add("null_field", (path, key), f"{key} is null")
    name = message.get("name")
    if name is not None and not isinstance(name, str):
        notes.add("name_not_string", (path, "name"), f"a name must be a text, not {kind_of(name)}", name)
    notes.chars += len(name) if isinstance(name, str) else 0
    if message.get("tool_call_id") is not None and role not in ("tool", None):
        notes.add("tool_call_id_outside_tool", (path, "tool_call_id"), f"a message of role {role} names a call")
    told = [key for key in ("reasoning", "reasoning_content") if message.get(key) is not None]
    for key in told:
        if not isinstance(message[key], str):
            said = f"reasoning must be a text, not {kind_of(message[key])}"
            notes.add("reasoning_not_string", (path, key), said, message[key])
        elif role == "assistant":
            notes.chars += len(message[key])
            notes.has_reasoning = notes.has_reasoning or bool(message[key])
        elif role is not None:
            notes.add("reasoning_outside_assistant", (path, key), f"a message of role {role} has reasoning")
    if len(told) > 1:
        notes.add("reasoning_twice", path, "a message has both reasoning and reasoning_content")


def _check_calls(notes: RowFindings, message: dict[str, Any], path: Path, role: str | None, calls: ToolCallTracker) -> bool:
    """Look at tool calls; return whether they may stand in place of content."""
    given = message["tool_calls"]
    if given is None:
        if message.get("content") is not None:
            notes.add("null_field", path, "tool_calls is null")
        return False
    if not isinstance(given, list):
        notes.add("tool_calls_not_list", path, f"tool_calls must be a list, not {kind_of(given)}", given)
        return True
    if given and role not in ("assistant", None):
        notes.add("tool_calls_outside_assistant", path, f"a message of role {role} calls tools")
        return False
    if role == "assistant":
        calls.make(given, path)
    return bool(given)
