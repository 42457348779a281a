"""Executes one notebook for Isochrone. Runs on nbclient 0.7 and later, and Python 3.9 and later."""

import os
import sys

# Last, so that none of these modules stands in the way of another of that name.
sys.path.append(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from notebook_driver.main import main  # noqa: E402

if __name__ == "__main__":
    main()
