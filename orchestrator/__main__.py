"""`python -m orchestrator`: the command line, for processes that start it again."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
