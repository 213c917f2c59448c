"""``python -m route_addon`` is the console command."""

import sys

from route_addon.cli import main

sys.exit(main())
