"""Installs the wheel of a folder into empty environments, once for each extra, and uses it: `python tools/wheel_smoke.py dist [EXTRA ...]`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

USES = {
    "": "import together_adapters; assert together_adapters.Together(api_key='key').chat.completions",
    "cli": "from together_adapters.cli import main",
    "demo": "import sys; from together_adapters.cli import main\n"
    "sys.argv = ['together-adapters', 'demo', '--answer-only']; raise SystemExit(main())",
    "emulator": "from together_adapters import Together\n"
    "from together_adapters.emulator import serve\n"
    "with serve() as emulator, Together(base_url=emulator.base_url, api_key='key') as client:\n"
    "    messages = [{'role': 'user', 'content': 'Say hello to Ann.'}]\n"
    "    answer = client.chat.completions.create(model='openai/gpt-oss-120b', messages=messages)\n"
    "    assert answer.choices[0].message.content == 'Hello to Ann.', answer",
    "finetune": "from together_adapters.finetune import TrainingData, check_jsonl",
    "langchain": "from langchain_together_adapters import ChatTogether; ChatTogether(api_key='key')",
    "llama-index": "from llama_index_together_adapters import TogetherLLM; TogetherLLM(api_key='key')",
}


def main() -> None:
    """Tries the extras that are named, or all."""
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"error: {sys.argv[1]} has {len(wheels)} wheels, not one")
    for extra in sys.argv[2:] or USES:
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
            wish = f"{wheels[0].resolve()}[{extra}]" if extra else str(wheels[0].resolve())
            subprocess.run([python, "-m", "pip", "install", "--quiet", wish], check=True)
            subprocess.run([python, "-I", "-c", USES[extra]], check=True, cwd=folder)
        print(f"{extra or 'no extra'}: installed and used")


if __name__ == "__main__":
    main()
