"""`python -m langchain_cf_deepseek` is the command `langchain-cf-deepseek`."""

import sys

from langchain_cf_deepseek.cli import main

if __name__ == "__main__":
    sys.exit(main())
