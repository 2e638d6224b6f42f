"""Request parameters (TypedDicts), response models (pydantic) and facts about models. No I/O here."""
