"""`python -m mimo`, and the `mimo` command."""

import sys


def main() -> int:
    from mimo.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
