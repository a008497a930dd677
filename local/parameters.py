"""The template parameters of a deployment: those of samconfig.toml, and the architecture that the layers are built for.

SAM lets its command line replace samconfig.toml's parameter_overrides, not add to them.
"""

import sys
import tomllib
from pathlib import Path


def overrides(environment: str, architecture: str) -> list[str]:
    config = tomllib.loads((Path(__file__).resolve().parent.parent / "samconfig.toml").read_text())
    return [*config[environment]["deploy"]["parameters"]["parameter_overrides"], f"Architecture={architecture}"]


if __name__ == "__main__":
    print(*overrides(sys.argv[1], sys.argv[2]))
