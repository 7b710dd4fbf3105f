"""``python -m kmgpu``."""

from kmgpu.cli import main

raise SystemExit(main())
