"""`python -m interlock`: the command line where no script is on the path."""

from interlock.cli import main

if __name__ == "__main__":
    main()
