"""Random JSON schemas with all keywords, and random values; the same for the same seed."""

from __future__ import annotations

from random import Random
from typing import Any

NAMES = ("name", "age", "city", "tags", "kind", "notes")
PATTERNS = ("^[a-z]+$", r"^\d{3}-\d{4}$", "b", "^(?!x)[a-z_]{2,}$", "^[A-Z]{2,3}$", r"\.json$")
FORMATS = ("date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname", "duration", "json-pointer", "regex")
CONSTANTS = ("red", "green", 1, 2.5, True, None, ["a"], {"a": 1}, "name")
KINDS = ("string", "integer", "number", "boolean", "null", "array", "object")


class RandomSchemas:
    """Makes schemas of limited depth."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def root(self) -> dict[str, Any]:
        schema = self.schema(3)
        return {**schema, "$defs": {"A": self.typed(0), "Node": NODE}}

    def schema(self, depth: int) -> Any:
        random = self.random
        kind = random.choice(("typed",) * 6 + ("union", "constants", "combined", "reference", "conditional"))
        if depth <= 0 and kind not in ("typed", "constants"):
            kind = "typed"
        match kind:
            case "constants":
                if random.random() < 0.3:
                    return {"const": random.choice(CONSTANTS)}
                return {"enum": random.sample(CONSTANTS, random.randint(1, 4))}
            case "union":
                schemas = [self.schema(depth - 1) for _ in range(random.randint(1, 3))]
                beside = self.typed(0) if random.random() < 0.15 else {}
                return {**beside, random.choice(("anyOf", "anyOf", "oneOf")): schemas}
            case "combined":
                kind = random.choice(KINDS)
                parts = [self.typed(depth - 1, kind) for _ in range(2)]
                return random.choice(
                    ({"allOf": parts}, {"allOf": parts[:1], **parts[1]}, {"not": parts[0]}, {**parts[1], "not": parts[0]})
                )
            case "reference":
                return {"$ref": f"#/$defs/{random.choice(('A', 'Node', 'Node'))}"}
            case "conditional":
                condition = self.typed(0)
                return {"if": condition, "then": self.typed(depth - 1), "else": self.schema(depth - 1)}
        return self.typed(depth)

    def typed(self, depth: int, kind: str = "") -> dict[str, Any]:
        random = self.random
        kind = kind or random.choice(KINDS if depth < 2 else ("object", "array"))
        schema: dict[str, Any] = {"type": kind}
        match kind:
            case "string":
                schema |= random.choice(
                    ({}, {"pattern": random.choice(PATTERNS)}, {"format": random.choice(FORMATS)}, self.bounds("Length", 12))
                )
            case "integer" | "number":
                schema |= self.number_bounds()
            case "array":
                schema |= self.array(depth)
            case "object":
                schema |= self.object(depth)
        if random.random() < 0.1:
            schema["type"] = [kind, random.choice([other for other in KINDS if other != kind])]
        if random.random() < 0.1:
            schema |= random.choice(({"default": random.choice(CONSTANTS)}, {"examples": list(CONSTANTS)}, {"nullable": True}))
        if random.random() < 0.05:
            del schema["type"]
        return schema

    def bounds(self, suffix: str, limit: int) -> dict[str, int]:
        low = self.random.randint(0, limit)
        bounds = {f"min{suffix}": low, f"max{suffix}": self.random.randint(low, limit + 2)}
        return {key: value for key, value in bounds.items() if self.random.random() < 0.6}

    def number_bounds(self) -> dict[str, Any]:
        random = self.random
        low = random.choice((-7, 0, 1, 0.5, 2.25, 100))
        schema: dict[str, Any] = {}
        if random.random() < 0.5:
            schema[random.choice(("minimum", "exclusiveMinimum"))] = low
        if random.random() < 0.5:
            schema[random.choice(("maximum", "exclusiveMaximum"))] = low + random.choice((1, 2, 10, 1.5))
        if random.random() < 0.3:
            schema["multipleOf"] = random.choice((1, 2, 5, 0.5, 0.1, 0.01))
        return schema

    def array(self, depth: int) -> dict[str, Any]:
        random = self.random
        schema: dict[str, Any] = self.bounds("Items", 3)
        if random.random() < 0.7:
            schema["items"] = self.schema(depth - 1) if random.random() < 0.95 else False
        if random.random() < 0.25:
            schema["prefixItems"] = [self.schema(depth - 1) for _ in range(random.randint(1, 2))]
        if random.random() < 0.2:
            schema["uniqueItems"] = True
        if random.random() < 0.2:
            schema["contains"] = self.schema(0)
            schema |= random.choice(({}, {"minContains": 2}, {"maxContains": 1}, {"minContains": 0}))
        return schema

    def object(self, depth: int) -> dict[str, Any]:
        random = self.random
        names = random.sample(NAMES, random.randint(0, 4))
        schema: dict[str, Any] = {"properties": {name: self.schema(depth - 1) for name in names}}
        schema["required"] = random.sample(names, random.randint(0, len(names)))
        chances: dict[str, Any] = {
            "additionalProperties": lambda: random.choice((False, False, self.schema(0))),
            "patternProperties": lambda: {random.choice(PATTERNS): self.schema(0)},
            "propertyNames": lambda: {"pattern": "^[a-z_]+$"},
            "minProperties": lambda: random.randint(0, 5),
            "maxProperties": lambda: random.randint(3, 6),
            "dependentRequired": lambda: {random.choice(NAMES): [random.choice(NAMES)]},
            "dependentSchemas": lambda: {random.choice(NAMES): {"required": [random.choice(NAMES)]}},
        }
        schema |= {keyword: make() for keyword, make in chances.items() if random.random() < 0.12}
        return schema

    def value(self, depth: int = 2) -> Any:
        random = self.random
        match random.choice(KINDS if depth else KINDS[:5]):
            case "string":
                return random.choice(
                    ("", "a", "red", "name", "abc", "555-1234", "AB", "2024-01-15", "b", "x.json", "some words here")
                )
            case "integer":
                return random.choice((0, 1, 2, 5, 7, -7, 100, 101))
            case "number":
                return random.choice((0.5, 1.5, 2.25, 2.5, 100.5, -6.5))
            case "boolean":
                return random.random() < 0.5
            case "array":
                return [self.value(depth - 1) for _ in range(random.randint(0, 3))]
            case "object":
                return {name: self.value(depth - 1) for name in random.sample(NAMES, random.randint(0, 3))}
        return None


NODE = {
    "type": "object",
    "properties": {
        "value": {"type": ["string", "integer"]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
