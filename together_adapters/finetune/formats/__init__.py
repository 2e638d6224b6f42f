"""Data formats: one module per format, all listed in `registry.py`, which says how to add one. `finetune.load` reads them."""
