import sys

from tests.search.search import main

sys.exit(main())
