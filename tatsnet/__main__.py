"""`python -m tatsnet` is `tatsnet`."""

import sys

from tatsnet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
