"""`python -m tausweep`: the command line."""

from tausweep import main

if __name__ == "__main__":
    main()
