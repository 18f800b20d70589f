"""``python -m edge.cli`` runs ``anyecg``."""

import sys

from edge.cli.main import main

sys.exit(main())
