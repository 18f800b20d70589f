"""Entry point for ``python -m edge.cli``, the same as ``anyecg``."""

import sys

from edge.cli.main import main

sys.exit(main())
