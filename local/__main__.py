"""python -m local: the `firn` command."""

from local.cli import main

raise SystemExit(main())
